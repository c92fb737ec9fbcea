"""Writes a trainer's file, and beside it where it is from."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import chameleon
from chameleon.common.command_line import Notify, print_json
from chameleon.common.errors import InputError
from chameleon.common.files import check_writable, write_atomically
from chameleon.common.tables import listed
from chameleon.export.draws import is_undrawn
from chameleon.export.formats import FormatSpec, format_spec
from chameleon.export.mixture import Stage, TrainerMixture
from chameleon.export.options import ExportRequest
from chameleon.export.parse import read_json_object
from chameleon.export.plan import ExportPlan, plan_export
from chameleon.export.sources import TrainerSource
from chameleon.export.tables import render_limits
from chameleon.weights.domain_weights import DomainWeights


def render_export(
    stages: Sequence[Stage], spec: FormatSpec, sources: Mapping[str, TrainerSource], seed: int = 0
) -> str:
    """The text of a trainer's file.

    Args:
        stages: Weights of the same domains: one stage or, for trainers that take a schedule, several.
        spec: The format.
        sources: Where the trainer finds each domain.
        seed: Seed of the trainer's draws.

    Raises:
        InputError: The format cannot hold a name, or something that it needs is unknown.
    """
    weightless = set() if spec.keeps_zeros else set(_weightless(stages))
    names = tuple(name for name in stages[0].weights.names if name not in weightless)
    mixture = TrainerMixture(names, tuple(sources[name] for name in names), tuple(stages), seed=seed)
    text = spec.write(replace(mixture, comment=_comment(mixture, spec)))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            "a domain's name holds half of a surrogate pair, which no file can; rename it"
        ) from None
    return text


def write_export(plan: ExportPlan, output: Path | None, input_files: Iterable[Path], notify: Notify) -> None:
    """Write a trainer's file, or print it, and report what limits changed.

    Args:
        plan: What the file is to hold.
        output: The file; None for stdout.
        input_files: Files that must not be overwritten.
        notify: Receives notes and tables.

    Raises:
        InputError: See `render_export`, or a file cannot be written. Nothing is written or reported then.
    """
    text = render_export(plan.stages, plan.spec, plan.sources, plan.seed)
    records = {} if output is None or plan.spec.has_comments else _records(output, plan)
    for path in records:
        check_writable(path)
    _require_apart([*([] if output is None else [output]), *records], input_files)
    for notice in _notices(plan):
        notify(notice)
    if output is None:
        print_json(text)
        return
    write_atomically(output, text.encode())
    for path, weights in records.items():
        weights.write(path)
    where_from = f" (where it is from: {', '.join(map(str, records))})" if records else ""
    notify(f"{plan.spec.trainer}: {output}{where_from}")


def require_exportable(request: ExportRequest, weights_file: Path) -> None:
    """Fail before hours of work where an export after it would.

    Raises:
        InputError: The format needs a flag that is not given, or a file cannot be read or written.
    """
    spec = format_spec(request.format)
    sources = {} if request.sources is None else read_json_object(request.sources, "--sources")
    if isinstance(request.tokens_per_row, Path):
        read_json_object(request.tokens_per_row, "--tokens_per_row")
    has_lengths = request.tokens_per_row is not None or (
        sources and all(isinstance(each, dict) and "tokens_per_row" in each for each in sources.values())
    )
    if spec.counts == "rows" and not has_lengths:
        raise InputError(f"{spec.trainer} counts rows; give --tokens_per_row to --export {request.format}")
    if spec.needs_budget and request.budget is None:
        raise InputError(
            f"{spec.trainer} needs the tokens to train on; give --budget to --export {request.format}"
        )
    path = _path_beside(weights_file, request)
    check_writable(path)
    _require_apart([path], request.input_files)


def export_beside(weights: DomainWeights, request: ExportRequest, weights_file: Path, notify: Notify) -> None:
    """Write a trainer's file beside a weights file.

    Raises:
        InputError: See `plan_export` and `write_export`.
    """
    try:
        path = _path_beside(weights_file, request)
        write_export(plan_export(request, weights), path, [weights_file, *request.input_files], notify)
    except InputError as error:
        raise InputError(f"the weights are written, but --export {request.format} failed: {error}") from None


def _path_beside(weights_file: Path, request: ExportRequest) -> Path:
    stem = weights_file.name.removesuffix(".json")
    return weights_file.with_name(f"{stem}.{request.format}{format_spec(request.format).suffix}")


def _records(output: Path, plan: ExportPlan) -> dict[Path, DomainWeights]:
    """Weights files that say where a trainer's file is from, by path, for formats without comments."""
    if output.exists() and not output.is_file():
        return {}
    paths = (output.with_name(f"{output.name}{suffix}.weights.json") for suffix in ("", ".then"))
    return {path: weights for path, (_, weights) in zip(paths, plan.stages, strict=False)}


def _require_apart(outputs: Iterable[Path], input_files: Iterable[Path]) -> None:
    """Raise InputError where a file to write is one to read."""
    inputs = {os.path.realpath(path) for path in input_files}
    for path in outputs:
        if os.path.realpath(path) in inputs:
            raise InputError(f"{path} is an input and would be overwritten; give another --output")


def _notices(plan: ExportPlan) -> list[str]:
    """What the user should know of weights in a trainer's file: notes and tables."""
    notices = [f"note: {note}" for note in plan.notes]
    for step, weights in plan.stages:
        if table := render_limits(weights):
            notices.append(f"from step {step} on\n{table}" if len(plan.stages) > 1 else table)
        never = is_undrawn(weights.weights, plan.spec.draws)
        if never.any():
            names = [name for name, is_never in zip(weights.names, never, strict=True) if is_never]
            notices.append(
                f"note: {plan.spec.trainer} will never draw {_names_text(names)}: the share is too "
                "small for its blocks"
            )
    dropped = _weightless(plan.stages)
    if dropped and not plan.spec.keeps_zeros:
        notices.append(
            f"note: domains of no weight are left out for {plan.spec.trainer}: {_names_text(dropped)}"
        )
    return notices


def _weightless(stages: Sequence[Stage]) -> list[str]:
    by_name = [weights.by_name() for _, weights in stages]
    return [name for name in by_name[0] if all(each[name] == 0 for each in by_name)]


def _comment(mixture: TrainerMixture, spec: FormatSpec) -> tuple[str, ...]:
    weights = mixture.stages[0].weights
    dataset = weights.provenance.get("dataset")
    corpus = dataset.get("name") if isinstance(dataset, Mapping) else None
    title = f"chameleon {chameleon.__version__}: {weights.method} weights"
    title += f" to {weights.mode}" if weights.mode else ""
    title += f" of {corpus}" if isinstance(corpus, str) else ""
    unit = "tokens" if spec.counts == "tokens" else "rows, for these shares of tokens"
    lines = [title, f"The numbers are shares of {unit}."]
    if spec.counts == "rows":
        pairs = zip(mixture.names, mixture.shares().tolist(), strict=True)
        lines.append("Tokens: " + _names_text([f"{name} {each:.4g}" for name, each in pairs]))
    if mixture.budget is not None:
        lines.append(f"Tokens to train on: {mixture.budget:,.0f}.")
    for step, each in mixture.stages:
        moved = [name for name, facts in each.domains.items() if "raw_weight" in facts]
        if moved:
            where = f" from step {step} on" if len(mixture.stages) > 1 else ""
            lines.append(f"Limits changed the weights{where} of {_names_text(moved)}.")
    return tuple("".join(c if c.isprintable() else "?" for c in line) for line in lines)


def _names_text(names: Sequence[str]) -> str:
    return listed(names, 20, all_up_to=100)
