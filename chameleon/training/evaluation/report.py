"""An evaluation as a table, and as a picture."""

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

import chameleon
from chameleon.common.errors import InputError
from chameleon.common.figures import escape_math
from chameleon.common.tables import display_name
from chameleon.training.evaluation.losses import DocumentLosses, perplexity, ratio_error

FORMAT = "chameleon-evaluation/1"


@dataclass(frozen=True)
class EvaluatedModel:
    """One checkpoint's losses.

    Attributes:
        name: As the user named it.
        tokenizer_digest: Of its tokenizer: losses of checkpoints that share it are of the same tokens.
        domains: Losses on the documents of each domain that has any.
    """

    name: str
    tokenizer_digest: str
    domains: Mapping[str, DocumentLosses]

    @property
    def mean_loss(self) -> tuple[float, float | None]:
        """Mean over domains, and its standard error; exp of it is the geometric mean perplexity."""
        errors = [each.standard_error for each in self.domains.values()]
        return self._mean([each.loss for each in self.domains.values()], errors)

    @property
    def mean_perplexity(self) -> tuple[float, float | None]:
        """Arithmetic mean over domains, and its standard error."""
        perplexities = [perplexity(each.loss) for each in self.domains.values()]
        errors = [
            None if each.standard_error is None else perplexity(each.loss) * each.standard_error
            for each in self.domains.values()
        ]
        return self._mean(perplexities, errors)

    @staticmethod
    def _mean(values: list[float], errors: list[float | None]) -> tuple[float, float | None]:
        squares = [error**2 for error in errors if error is not None]
        known = len(squares) == len(errors)
        return sum(values) / len(values), math.sqrt(sum(squares)) / len(values) if known else None

    def difference(self, other: "EvaluatedModel", domain: str) -> tuple[float, float | None] | None:
        """Loss less that of another on the same tokens, and its standard error; None where tokens differ."""
        if self.tokenizer_digest != other.tokenizer_digest:
            return None
        mine, theirs = self.domains[domain], other.domains[domain]
        total = int(mine.tokens.sum())
        difference = mine.loss - theirs.loss
        return difference, ratio_error(mine.losses - theirs.losses - difference * mine.tokens, total)


@dataclass(frozen=True)
class Evaluation:
    """Checkpoints side by side.

    Attributes:
        checkpoints: They, in the order in which they were named.
        settings: What they were evaluated with.
        notices: What the user must hear.
    """

    checkpoints: tuple[EvaluatedModel, ...]
    settings: Mapping[str, Any]
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        first = self.checkpoints[0]
        return {
            "format": FORMAT,
            "checkpoints": [_facts(each, first) for each in self.checkpoints],
            "settings": dict(self.settings),
            "notices": list(self.notices),
            "versions": {
                "chameleon": chameleon.__version__,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "python": platform.python_version(),
            },
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _facts(evaluated: EvaluatedModel, first: EvaluatedModel) -> dict[str, Any]:
    domains = {}
    for name, losses in evaluated.domains.items():
        error = losses.standard_error
        domains[name] = {
            "loss": losses.loss,
            "loss_standard_error": error,
            "perplexity": _finite(perplexity(losses.loss)),
            "perplexity_standard_error": None if error is None else _finite(perplexity(losses.loss) * error),
            "bits_per_byte": losses.bits_per_byte,
            "tokens": int(losses.tokens.sum()),
            "documents": len(losses.tokens),
        }
        difference = None if evaluated is first else evaluated.difference(first, name)
        if difference is not None:
            domains[name]["loss_against_first"], domains[name]["loss_against_first_standard_error"] = (
                difference
            )
    (loss, loss_error), (average, average_error) = evaluated.mean_loss, evaluated.mean_perplexity
    return {
        "name": evaluated.name,
        "tokenizer_digest": evaluated.tokenizer_digest,
        "domains": domains,
        "mean_loss": loss,
        "mean_loss_standard_error": loss_error,
        "average_perplexity": _finite(average),
        "average_perplexity_standard_error": None if average_error is None else _finite(average_error),
        "geometric_mean_perplexity": _finite(perplexity(loss)),
    }


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


_COLOURS = ("#1f6f8b", "#d1495b", "#edae49", "#66a182", "#7d5ba6", "#5c5c5c", "#00798c", "#b5651d")


def render_evaluation(evaluation: Evaluation, written_to: str) -> str:
    """A line a domain, a column a checkpoint: loss with its standard error, and perplexity."""
    checkpoints = evaluation.checkpoints
    names = list(checkpoints[0].domains)
    width = max(25, *(len(display_name(name)) for name in names))
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
        lines.append(f"{display_name(name):<{width}}  {tokens:9,}  {cells}")
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
            label=escape_math(_short(each.name)),
        )
    axes.set_yticks(range(len(names)), [escape_math(display_name(name)) for name in names])
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


def _cell(checkpoint: EvaluatedModel, domain: str) -> str:
    losses = checkpoint.domains[domain]
    return f"{_with_error(losses.loss, losses.standard_error)}  {perplexity(losses.loss):10.4g}"


def _with_error(loss: float, error: float | None) -> str:
    return f"{loss:.3f} +- {'-' if error is None else format(error, '.3f')}"


def _short(name: str, most: int = 30) -> str:
    """The end of a checkpoint's name, which tells more than its beginning."""
    printable = "".join(each if each.isprintable() else "?" for each in name.rstrip("/"))
    return printable if len(printable) <= most else f"...{printable[3 - most :]}"
