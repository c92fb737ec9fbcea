"""An evaluation as a table, and as a picture."""

from pathlib import Path

from chameleon.errors import InputError
from chameleon.evaluation.losses import perplexity
from chameleon.evaluation.result import Evaluated, Evaluation
from chameleon.table import shown_name
from chameleon.training.pictures import plain

_COLOURS = ("#1f6f8b", "#d1495b", "#edae49", "#66a182", "#7d5ba6", "#5c5c5c", "#00798c", "#b5651d")


def render_evaluation(evaluation: Evaluation, written_to: str) -> str:
    """A line a domain, a column a checkpoint: loss with its standard error, and perplexity."""
    checkpoints = evaluation.checkpoints
    names = list(checkpoints[0].domains)
    width = max(25, *(len(shown_name(name)) for name in names))
    columns = [max(24, len(_short(each.name))) for each in checkpoints]
    heads = "  ".join(f"{_short(each.name):>{c}}" for each, c in zip(checkpoints, columns, strict=True))
    units = "  ".join(f"{'loss +- s.e.  perplexity':>{c}}" for c in columns)
    lines = [
        f"Held-out loss on {evaluation.settings['dataset']}, nats a token",
        "",
        f"{'':<{width}}             {heads}",
        f"{'domain':<{width}}     tokens  {units}",
    ]
    for name in names:
        cells = "  ".join(f"{_cell(each, name):>{c}}" for each, c in zip(checkpoints, columns, strict=True))
        tokens = int(checkpoints[0].domains[name].tokens.sum())
        lines.append(f"{shown_name(name):<{width}}  {tokens:9,}  {cells}")
    means = [each.mean_loss for each in checkpoints]
    geometric = [f"{_with_error(loss, error)}  {perplexity(loss):10.4g}" for loss, error in means]
    arithmetic = [f"{each.mean_perplexity[0]:10.4g}" for each in checkpoints]
    for title, means_of in (("mean, geometric mean", geometric), ("average perplexity", arithmetic)):
        shown = "  ".join(f"{each:>{c}}" for each, c in zip(means_of, columns, strict=True))
        lines.append(f"{title:<{width}}  {'':9}  {shown}")
    return "\n".join([*lines, "", f"file  {written_to}"])


def draw_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write a picture: the loss of each checkpoint on each domain, with 95 % intervals.

    Raises:
        InputError: It cannot be written.
    """
    from matplotlib.figure import Figure

    checkpoints = evaluation.checkpoints
    names = list(checkpoints[0].domains)
    figure = Figure(figsize=(7, 1.2 + 0.45 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for number, each in enumerate(checkpoints):
        losses = [each.domains[name] for name in names]
        offset = 0.5 * ((number + 0.5) / len(checkpoints) - 0.5)
        axes.errorbar(
            [found.loss for found in losses],
            [row + offset for row in range(len(names))],
            xerr=[1.96 * (found.standard_error or 0.0) for found in losses],
            fmt="o",
            capsize=3,
            color=_COLOURS[number % len(_COLOURS)],
            label=plain(_short(each.name)),
        )
    axes.set_yticks(range(len(names)), [plain(shown_name(name)) for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("held-out loss, nats a token (bars: 95 % intervals)")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=min(len(checkpoints), 3), frameon=False)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"cannot write the picture {path}: {reason}; the figures are written") from None


def _cell(checkpoint: Evaluated, domain: str) -> str:
    losses = checkpoint.domains[domain]
    return f"{_with_error(losses.loss, losses.standard_error)}  {perplexity(losses.loss):10.4g}"


def _with_error(loss: float, error: float | None) -> str:
    return f"{loss:.3f} +- {'-' if error is None else format(error, '.3f')}"


def _short(name: str, most: int = 30) -> str:
    """The end of a checkpoint's name, which tells more than its beginning."""
    printable = "".join(each if each.isprintable() else "?" for each in name.rstrip("/"))
    return printable if len(printable) <= most else f"...{printable[3 - most :]}"
