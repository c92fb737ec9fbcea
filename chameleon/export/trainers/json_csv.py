"""This program's own training, DoReMi, DoGE and plain CSV."""

import csv
import io
import json

from chameleon.common.errors import InputError
from chameleon.export.mixture import TrainerMixture
from chameleon.export.parse import ParsedFile, mapping_at, parse_json, parse_numbers, parse_step

# The order of DoGE's data dictionary for SlimPajama, by which it reads positions whatever names stand beside.
DOGE_ORDER = ("arxiv", "book", "c4", "cc", "github", "stackexchange", "wikipedia", "mix")


_COLUMNS = ["domain", "share_of_tokens"]


def write_schedule(mixture: TrainerMixture) -> str:
    """What `python -m chameleon train --weights` takes: weights by training step."""
    entries = [
        {"step": stage.step, "weights": mixture.by_name(number)}
        for number, stage in enumerate(mixture.stages)
    ]
    return json.dumps({"schedule": entries}, indent=2, ensure_ascii=False) + "\n"


def read_schedule(text: str) -> ParsedFile:
    """The inverse of `write_schedule`."""
    entries = mapping_at(parse_json(text)).get("schedule")
    if not isinstance(entries, list) or not entries:
        raise InputError("the file has no list schedule")
    stages = []
    for entry in entries:
        step = parse_step(mapping_at(entry).get("step"), "step")
        stages.append((step, parse_numbers(mapping_at(entry, "weights").items())))
    return ParsedFile.staged(stages)


def write_doremi(mixture: TrainerMixture) -> str:
    """DoReMi's configuration: weights of chunks of tokens by name, names sorted."""
    ordered = dict(sorted(mixture.by_name().items()))
    content = {"train_domain_weights": ordered, "eval_domain_weights": ordered}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_doremi(text: str) -> ParsedFile:
    """The inverse of `write_doremi`."""
    content = mapping_at(parse_json(text))
    numbers = parse_numbers(mapping_at(content, "train_domain_weights").items())
    problems = () if "eval_domain_weights" in content else ("the file has no eval_domain_weights",)
    return ParsedFile(numbers, problems)


def write_doge(mixture: TrainerMixture) -> str:
    """DoGE's strings of names and numbers with commas between, in the order of its data dictionary."""
    shares = mixture.by_name()
    for name in shares:
        if "," in name or name != name.strip():
            raise InputError(
                f"DoGE splits names at commas, so it cannot take {name!r}; name the domain otherwise"
            )
    if set(shares) <= set(DOGE_ORDER):
        shares = {name: shares.get(name, 0.0) for name in DOGE_ORDER}
    numbers = ",".join(map(repr, shares.values()))
    content = {"train_domains": ",".join(shares), "train_dw": numbers, "val_dw": numbers}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_doge(text: str) -> ParsedFile:
    """What DoGE makes of a file: SlimPajama's positions go by its data dictionary, whatever names say."""
    content = mapping_at(parse_json(text))
    lists = []
    for key in ("train_domains", "train_dw"):
        if not isinstance(content.get(key), str):
            raise InputError(f"the file has no {key}: a text with commas between")
        lists.append(content[key].split(","))
    names, numbers = lists
    problems = []
    if set(names) <= set(DOGE_ORDER):
        order = list(DOGE_ORDER[: len(numbers)])
        if names != order[: len(names)]:
            problems.append(
                f"DoGE reads train_dw in the order {', '.join(order)}, not in that of train_domains "
                f"({', '.join(names)}): numbers reach other domains"
            )
        names = order
    if len(names) != len(numbers):
        raise InputError(f"{len(names)} names in train_domains have {len(numbers)} numbers in train_dw")
    found = parse_numbers(zip(names, numbers, strict=True))
    if found.get("mix") == 0:
        del found["mix"]
    return ParsedFile(found, tuple(problems))


def write_csv(mixture: TrainerMixture) -> str:
    """A line a domain: its name and its share of tokens."""
    text = io.StringIO()
    # A carriage return would end a line unless all is quoted.
    ends_lines = any("\r" in name for name in mixture.names)
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if ends_lines else csv.QUOTE_MINIMAL)
    writer.writerow(_COLUMNS)
    writer.writerows((name, repr(share)) for name, share in mixture.by_name().items())
    return text.getvalue()


def read_csv(text: str) -> ParsedFile:
    """The inverse of `write_csv`."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise InputError(f"the file is not CSV: {error}") from None
    if not rows or rows[0] != _COLUMNS:
        found = ",".join(rows[0])[:80] if rows else "nothing"
        raise InputError(f"expected the columns {','.join(_COLUMNS)}, got {found}")
    for row in rows:
        if len(row) != 2:
            raise InputError(f"expected two columns in each line, got {','.join(row)[:80]}")
    return ParsedFile(parse_numbers((name, number) for name, number in rows[1:]))
