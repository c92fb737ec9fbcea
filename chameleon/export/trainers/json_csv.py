"""JSON and CSV: this program's own training, DoReMi, DoGE and plain CSV.

DoReMi: its configs/. DoGE: its config/gpt_base and src/dataloader.py.
"""

import csv
import io
from typing import TYPE_CHECKING

from chameleon.common.errors import InputError
from chameleon.export.parse import ParsedFile, list_at, mapping_at, parse_lists, parse_numbers, parse_step
from chameleon.export.serialization import join_names, json_text, parse_json

if TYPE_CHECKING:
    from chameleon.export.mixture import TrainerMixture

# The order of DoGE's data dictionary for SlimPajama. DoGE reads weights in this order and ignores the names.
DOGE_ORDER = ("arxiv", "book", "c4", "cc", "github", "stackexchange", "wikipedia", "mix")
_COLUMNS = ["domain", "share_of_tokens"]


def write_schedule(mixture: "TrainerMixture") -> str:
    """What `python -m chameleon train --weights` takes: weights by training step."""
    entries = [
        {"step": stage.step, "weights": mixture.by_name(number)}
        for number, stage in enumerate(mixture.stages)
    ]
    return json_text({"schedule": entries})


def read_schedule(text: str) -> ParsedFile:
    """The inverse of `write_schedule`."""
    stages = []
    for entry in list_at(parse_json(text), "schedule"):
        step = parse_step(mapping_at(entry).get("step"), "step")
        stages.append((step, parse_numbers(mapping_at(entry, "weights").items())))
    return ParsedFile.from_stages(stages)


def write_doremi(mixture: "TrainerMixture") -> str:
    """DoReMi's configuration: shares of token chunks by name, names sorted."""
    ordered = dict(sorted(mixture.by_name().items()))
    return json_text({"train_domain_weights": ordered, "eval_domain_weights": ordered})


def read_doremi(text: str) -> ParsedFile:
    """The inverse of `write_doremi`."""
    content = parse_json(text)
    numbers = parse_numbers(mapping_at(content, "train_domain_weights").items())
    problems = () if "eval_domain_weights" in content else ("the file has no eval_domain_weights",)
    return ParsedFile(numbers, problems)


def write_doge(mixture: "TrainerMixture") -> str:
    """DoGE's comma-separated names and numbers, in the order of its data dictionary."""
    shares = mixture.by_name()
    if set(shares) <= set(DOGE_ORDER):
        shares = {name: shares.get(name, 0.0) for name in DOGE_ORDER}
    names = join_names(shares, "DoGE", "rename the domain")
    numbers = ",".join(map(repr, shares.values()))
    return json_text({"train_domains": names, "train_dw": numbers, "val_dw": numbers})


def read_doge(text: str) -> ParsedFile:
    """What DoGE reads: for SlimPajama's domains it goes by its own order and ignores the names."""
    content = mapping_at(parse_json(text))
    for key in ("train_domains", "train_dw"):
        if not isinstance(content.get(key), str):
            raise InputError(f"the file has no {key}: a text of entries with commas between")
    names, numbers = (content[key].split(",") for key in ("train_domains", "train_dw"))
    problems = []
    if set(names) <= set(DOGE_ORDER):
        order = list(DOGE_ORDER[: len(numbers)])
        if names != order[: len(names)]:
            problems.append(
                f"DoGE reads train_dw in the order {', '.join(order)}, not in that of train_domains "
                f"({', '.join(names)}): numbers reach other domains"
            )
        names = order
    parsed = parse_lists(names, numbers, "train_domains", "train_dw")
    if parsed.get("mix") == 0:
        del parsed["mix"]
    return ParsedFile(parsed, tuple(problems))


def write_csv(mixture: "TrainerMixture") -> str:
    """A line for each domain: its name and its share of tokens."""
    text = io.StringIO()
    # A carriage return ends a line unless everything is quoted.
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
    columns = ",".join(rows[0])[:80] if rows else "nothing"
    if not rows or rows[0] != _COLUMNS:
        raise InputError(f"expected the columns {','.join(_COLUMNS)}, got {columns}")
    for row in rows:
        if len(row) != 2:
            raise InputError(f"expected two columns in each line, got {','.join(row)[:80]}")
    return ParsedFile(parse_numbers((name, number) for name, number in rows[1:]))
