"""From weights to a trainer's file, and what stands beside it."""

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import chameleon
from chameleon.common.command_line import Notify, print_json
from chameleon.common.errors import InputError
from chameleon.common.files import check_writable, write_atomically
from chameleon.export.budget import Limits, apply_limits, render_limits
from chameleon.export.draws import undrawn_domains
from chameleon.export.formats import FormatSpec, format_spec
from chameleon.export.mixture import (
    LaterStage,
    TrainerMixture,
    TrainerSource,
    fact_number,
    mixture_of,
    read_sources,
)
from chameleon.export.parse import parse_number, read_json_object, read_token_counts
from chameleon.weights.domain_weights import DomainWeights

_PROXYS_TOKENS = "tokens at hand are counted with the proxy's tokenizer; another's differ"


_OTHERS_TOKENS = (
    "the token counts are of another tokenizer than the proxy's: epochs are in its tokens, and weights were "
    "found with the proxy's"
)


@dataclass(frozen=True, eq=False)
class ExportPlan:
    """What is asked for.

    Attributes:
        weights: Within the limits.
        later: Those that follow, within them too.
        notices: What to know of it, in words.
    """

    weights: DomainWeights
    later: tuple[LaterStage, ...]
    notices: tuple[str, ...]


def asked_for(arguments: argparse.Namespace, weights: DomainWeights) -> ExportPlan:
    """Weights and those of --then within the limits that are asked for.

    Raises:
        InputError: As of `apply_limits`, or --then and --at do not fit each other or the weights.
    """
    first, notices = limited(arguments, weights)
    if (arguments.then is None) != (arguments.at is None):
        raise InputError("--then and --at belong together: the weights to go over to, and the step")
    if arguments.then is None:
        return ExportPlan(first, (), notices)
    if arguments.at < 1:
        raise InputError("--at 0 leaves nothing of the first stage; give a step of at least 1")
    later, further = limited(arguments, DomainWeights.read(arguments.then))
    if set(later.names) != set(weights.names):
        raise InputError(
            f"{arguments.then} has weights for {', '.join(later.names)[:300]}, {arguments.weights} for "
            f"{', '.join(weights.names)[:300]}; both must be of the same domains"
        )
    return ExportPlan(first, (LaterStage(arguments.at, later),), tuple(dict.fromkeys((*notices, *further))))


def places(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, TrainerSource]:
    """The source of each domain.

    Raises:
        InputError: As of `read_sources`, or --tokens_per_row is neither a number above 0 nor such a file.
    """
    return read_sources(names, arguments.sources, tokens_per_row(arguments))


def tokens_per_row(arguments: argparse.Namespace) -> float | dict[str, Any] | None:
    """What --tokens_per_row says: a number for all rows, or by domain.

    Raises:
        InputError: It is neither a number nor such a file.
    """
    if arguments.tokens_per_row is None:
        return None
    try:
        return float(arguments.tokens_per_row)
    except ValueError:
        return read_json_object(Path(arguments.tokens_per_row), "--tokens_per_row")


def limited(arguments: argparse.Namespace, weights: DomainWeights) -> tuple[DomainWeights, tuple[str, ...]]:
    """Weights within the limits that are asked for, and what to know of that, in words.

    Raises:
        InputError: As of `apply_limits`.
    """
    counts, notice = None, None
    if arguments.budget or arguments.max_epochs or arguments.prior_strength:
        counts, notice = _counts(arguments, weights)
    limits = Limits(
        budget=arguments.budget,
        counts=counts,
        max_epochs=arguments.max_epochs,
        min_weight=arguments.min_weight,
        prior_strength=arguments.prior_strength,
    )
    return apply_limits(weights, limits), () if notice is None else (notice,)


def _counts(
    arguments: argparse.Namespace, weights: DomainWeights
) -> tuple[dict[str, float] | None, str | None]:
    """Tokens of each domain at hand, None where they are not known, and what to know of them."""
    if arguments.token_counts is None:
        known = {
            name: fact_number(weights.domains.get(name, {}), "corpus_tokens", f"domain {name}", 1)
            for name in weights.names
        }
        counts = {name: count for name, count in known.items() if count is not None}
        return (counts, _PROXYS_TOKENS) if len(counts) == len(known) else (None, None)
    content, digest = read_token_counts(arguments.token_counts)
    counts = {}
    for name in weights.names:
        if name in content:
            if isinstance(content[name], str):
                raise InputError(
                    f"--token_counts: that of {name} is {content[name]!r:.40}; expected a number"
                )
            counts[name] = parse_number(content[name], f"--token_counts: that of {name}", 1)
    proxy = weights.provenance.get("proxy")
    ours = proxy.get("tokenizer_digest") if isinstance(proxy, Mapping) else None
    return counts, _OTHERS_TOKENS if None not in (digest, ours) and digest != ours else None


# Of more domains than these, so many are named.
_MOST_LISTED, _FIRST_LISTED = 100, 20


def export(
    weights: DomainWeights,
    format_name: str,
    sources: Mapping[str, TrainerSource],
    seed: int = 0,
    later: Sequence[LaterStage] = (),
) -> str:
    """The text of a trainer's file.

    Args:
        weights: What it is to hold.
        format_name: A key of `FORMATS`.
        sources: Where each domain is.
        seed: Of the trainer's draws.
        later: Weights that follow, for trainers that take them.

    Raises:
        InputError: There is no such format, it cannot hold a name, or what it needs is not known.
    """
    row = format_spec(format_name)
    mixture = mixture_of(weights, sources, row.keeps_zeros, later)
    text = row.write(replace(mixture, seed=seed, comment=_comment(weights, later, mixture, row.counts)))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            "a name holds half of a character, which no file can; name the domain otherwise"
        ) from None
    return text


def export_to(
    asked: ExportPlan,
    format_name: str,
    sources: Mapping[str, TrainerSource],
    output: Path | None,
    seed: int,
    inputs: Iterable[Path | None],
    notify: Notify,
) -> None:
    """Write a trainer's file, or print it where there is no output, and say what limits did.

    Args:
        asked: What it is to hold.
        format_name, sources, seed: See `export`.
        output: The file.
        inputs: Files that must not be written over.
        notify: Told what to know, in words.

    Raises:
        InputError: As of `export`, or the file cannot be written. Nothing is said or written then.
    """
    row = format_spec(format_name)
    text = export(asked.weights, format_name, sources, seed, asked.later)
    beside = [] if output is None or row.has_comments else _beside(output, asked)
    for path in (path for path, _ in beside):
        check_writable(path)
    _require_apart([path for path in (output, *(path for path, _ in beside)) if path is not None], inputs)
    for words in _said(asked, row):
        notify(words)
    if output is None:
        print_json(text)
        return
    write_atomically(output, text.encode())
    for path, weights in beside:
        weights.write(path)
    of_weights = f" (where it is from: {', '.join(str(path) for path, _ in beside)})" if beside else ""
    notify(f"{row.trainer}: {output}{of_weights}")


def require_exportable(arguments: argparse.Namespace, output: str) -> None:
    """Raise InputError, before hours of work, for what can be known to fail after it.

    Args:
        arguments: The main command's flags of export.
        output: Where the weights go.
    """
    row = format_spec(arguments.export)
    per_row = tokens_per_row(arguments)
    sources = {} if arguments.sources is None else read_json_object(arguments.sources, "--sources")
    known = sources and all(isinstance(each, dict) and "tokens_per_row" in each for each in sources.values())
    if row.counts == "rows" and per_row is None and not known:
        raise InputError(f"{row.trainer} counts rows; give --tokens_per_row to --export {arguments.export}")
    if row.needs_budget and arguments.budget is None:
        raise InputError(
            f"{row.trainer} needs the tokens to train on; give --budget to --export {arguments.export}"
        )
    path = _place(output, arguments)
    check_writable(path)
    _require_apart([path], _inputs(arguments))


def export_beside(weights: DomainWeights, arguments: argparse.Namespace, output: str, notify: Notify) -> None:
    """Write a trainer's file beside a weights file.

    Args:
        weights: What it is to hold.
        arguments: The main command's flags of export.
        output: The weights file.
        notify: Told what to know, in words.

    Raises:
        InputError: As of `export_to`.
    """
    try:
        apply_limits, notices = limited(arguments, weights)
        sources = places(arguments, weights.names)
        path = _place(output, arguments)
        inputs = (Path(output), *_inputs(arguments))
        export_to(ExportPlan(apply_limits, (), notices), arguments.export, sources, path, 0, inputs, notify)
    except InputError as error:
        raise InputError(f"the weights are there, but not --export {arguments.export}: {error}") from None


def _place(output: str, arguments: argparse.Namespace) -> Path:
    beside = Path(output)
    suffix = format_spec(arguments.export).suffix
    return beside.with_name(f"{beside.name.removesuffix('.json')}.{arguments.export}{suffix}")


def _inputs(arguments: argparse.Namespace) -> tuple[Path | None, ...]:
    return arguments.sources, None if arguments.tokens_per_row is None else Path(arguments.tokens_per_row)


def _beside(output: Path, asked: ExportPlan) -> list[tuple[Path, DomainWeights]]:
    """The files that say where a trainer's file is from, where it cannot itself."""
    if output.exists() and not output.is_file():
        return []
    later = [(output.with_name(f"{output.name}.then.weights.json"), each.weights) for each in asked.later]
    return [(output.with_name(f"{output.name}.weights.json"), asked.weights), *later]


def _require_apart(outputs: Sequence[Path], inputs: Iterable[Path | None]) -> None:
    """Raise InputError where a file to write is one to read."""
    read = {os.path.realpath(path) for path in inputs if path is not None}
    for path in outputs:
        if os.path.realpath(path) in read:
            raise InputError(f"{path} is read, and would be written over; give another --output")


def _said(asked: ExportPlan, row: FormatSpec) -> list[str]:
    """What there is to say of weights that go into a trainer's file."""
    words = [f"note: {notice}" for notice in asked.notices]
    stages = [(0, asked.weights), *asked.later]
    for step, weights in stages:
        if table := render_limits(weights):
            words.append(f"from step {step} on\n{table}" if len(stages) > 1 else table)
        never = undrawn_domains(weights.weights, row.draws)
        if never.any():
            names = [name for name, is_so in zip(weights.names, never, strict=True) if is_so]
            words.append(
                f"note: {row.trainer} will never draw {_listed(names)}: the share is too small for its blocks"
            )
    by_name = [each.by_name() for _, each in stages]
    dropped = [name for name in asked.weights.names if all(each[name] == 0 for each in by_name)]
    if dropped and not row.keeps_zeros:
        words.append(f"note: domains of no weight are left out for {row.trainer}: {_listed(dropped)}")
    return words


def _listed(names: Sequence[str]) -> str:
    """Names with commas between; of very many the first, and how many more there are."""
    if len(names) <= _MOST_LISTED:
        return ", ".join(names)
    return f"{', '.join(names[:_FIRST_LISTED])} and {len(names) - _FIRST_LISTED:,} more"


def _comment(
    weights: DomainWeights, later: Sequence[LaterStage], mixture: TrainerMixture, counts: str
) -> tuple[str, ...]:
    dataset = weights.provenance.get("dataset")
    corpus = dataset.get("name") if isinstance(dataset, Mapping) else None
    made = f"chameleon {chameleon.__version__}: {weights.method} weights"
    made += f" to {weights.mode}" if weights.mode else ""
    made += f" of {corpus}" if isinstance(corpus, str) else ""
    unit = "shares of tokens" if counts == "tokens" else "shares of rows, for these shares of tokens"
    lines = [made, f"The numbers are {unit}."]
    if counts == "rows":
        pairs = zip(mixture.names, mixture.shares.tolist(), strict=True)
        lines.append("Tokens: " + _listed([f"{name} {each:.4g}" for name, each in pairs]))
    if mixture.budget is not None:
        lines.append(f"Tokens to train on: {mixture.budget:,.0f}.")
    for step, each in [(0, weights), *later]:
        raw = [name for name, facts in each.domains.items() if "raw_weight" in facts]
        if raw:
            where = f" from step {step} on" if later else ""
            lines.append(f"Weights within limits{where}; they were others for {_listed(raw)}.")
    return tuple("".join(c if c.isprintable() else "?" for c in line) for line in lines)
