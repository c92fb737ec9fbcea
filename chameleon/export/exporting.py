"""From weights to a trainer's file, and what stands beside it."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import chameleon
from chameleon.command_line import print_json
from chameleon.domain_weights import DomainWeights
from chameleon.errors import InputError
from chameleon.export.flags import limited, places, tokens_per_row
from chameleon.export.formats import format_named
from chameleon.export.mixture import Mixture, Source, Stage, mixture_of, read_json_object
from chameleon.export.table import render_limits
from chameleon.files import write_atomically


def export(
    weights: DomainWeights,
    format_name: str,
    sources: Mapping[str, Source],
    seed: int = 0,
    stages: Sequence[Stage] = (),
) -> str:
    """The text of a trainer's file.

    Args:
        weights: What it is to hold.
        format_name: A key of `FORMATS`.
        sources: Where each domain is.
        seed: Of the trainer's draws.
        stages: Weights that follow, for trainers that take them.

    Raises:
        InputError: There is no such format, it cannot hold a name, or what it needs is not known.
    """
    row = format_named(format_name)
    mixture = mixture_of(weights, sources, row.keeps_zeros, stages)
    return row.write(replace(mixture, seed=seed, comment=_comment(weights, mixture, row.counts)))


def export_to(
    weights: DomainWeights,
    format_name: str,
    sources: Mapping[str, Source],
    output: Path | None,
    seed: int,
    stages: Sequence[Stage],
    notify: Callable[[str], None],
) -> None:
    """Write a trainer's file, or print it where there is no output.

    Args:
        weights, format_name, sources, seed, stages: See `export`.
        output: The file.
        notify: Told what to know, in words.

    Raises:
        InputError: As of `export`, or the file cannot be written.
    """
    row = format_named(format_name)
    text = export(weights, format_name, sources, seed, stages)
    dropped = [name for name, weight in weights.by_name().items() if weight == 0]
    if dropped and not row.keeps_zeros and not stages:
        notify(
            f"note: domains of no weight are left out, which {row.trainer} would refuse: {', '.join(dropped)}"
        )
    if output is None:
        print_json(text)
        return
    write_atomically(output, text.encode())
    written = str(output)
    if not row.has_comments and output.is_file():
        beside = output.with_name(output.name + ".weights.json")
        weights.write(beside)
        written += f" and, since it has no comments, {beside}"
    notify(f"{row.trainer}: {written}")


def require_exportable(arguments: argparse.Namespace) -> None:
    """Raise InputError for a format that is not there or files that cannot be read: before hours of work."""
    format_named(arguments.export)
    if arguments.sources is not None:
        read_json_object(arguments.sources, "--sources")
    tokens_per_row(arguments)


def export_beside(
    weights: DomainWeights,
    arguments: argparse.Namespace,
    output: str,
    mode: str,
    notify: Callable[[str], None],
) -> None:
    """Write a trainer's file beside a weights file.

    Args:
        weights: What it is to hold.
        arguments: The flags of export.
        output: The weights file, or "-".
        mode: What the weights are for.
        notify: Told what to know, in words.

    Raises:
        InputError: As of `export_to`.
    """
    beside = Path(f"chameleon_weights_{mode}.json" if output == "-" else output)
    name = beside.name.removesuffix(".json")
    path = beside.with_name(f"{name}.{arguments.export}{format_named(arguments.export).suffix}")
    within, notices = limited(arguments, weights)
    for notice in notices:
        notify(f"note: {notice}")
    if table := render_limits(within):
        notify(table)
    sources = places(arguments, weights.names)
    try:
        export_to(within, arguments.export, sources, path, 0, (), notify)
    except InputError as error:
        raise InputError(
            f"{error} (the weights are written; python -m chameleon.export takes them)"
        ) from None


def _comment(weights: DomainWeights, mixture: Mixture, counts: str) -> tuple[str, ...]:
    dataset = weights.provenance.get("dataset")
    corpus = dataset.get("name") if isinstance(dataset, Mapping) else None
    made = f"chameleon {chameleon.__version__}: {weights.method} weights"
    made += f" to {weights.mode}" if weights.mode else ""
    made += f" of {corpus}" if isinstance(corpus, str) else ""
    unit = "shares of tokens" if counts == "tokens" else "shares of rows, for these shares of tokens"
    lines = [made, f"The numbers are {unit}."]
    if counts == "rows":
        pairs = zip(mixture.names, mixture.shares.tolist(), strict=True)
        lines.append("Tokens: " + ", ".join(f"{name} {each:.4g}" for name, each in pairs))
    if mixture.budget is not None:
        lines.append(f"Tokens to train on: {mixture.budget:,.0f}.")
    raw = [name for name, facts in weights.domains.items() if "raw_weight" in facts]
    if raw:
        lines.append(f"Weights within limits (epochs, floors, prior); they were others for {', '.join(raw)}.")
    return tuple("".join(c if c.isprintable() else "?" for c in line) for line in lines)
