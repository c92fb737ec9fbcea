"""The results of an evaluation: as JSON, as a table, and as a picture."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chameleon.common.figures import PALETTE, escape_math, new_axes, new_figure, save_figure
from chameleon.common.libraries import versions
from chameleon.common.tables import Column, display_name, table_lines
from chameleon.training.evaluation.losses import DocumentLosses, perplexity, ratio_standard_error

FORMAT = "chameleon-evaluation/1"


@dataclass(frozen=True)
class EvaluatedModel:
    """The losses of one checkpoint.

    Attributes:
        name: Name given by the user.
        tokenizer_digest: Identifies its tokenizer; checkpoints that share it are measured on the same tokens.
        domains: Losses on the documents of each domain that has any.
    """

    name: str
    tokenizer_digest: str
    domains: Mapping[str, DocumentLosses]

    @property
    def mean_loss(self) -> tuple[float, float | None]:
        """Mean over domains, and its standard error; exp of it is the geometric mean perplexity."""
        losses = self.domains.values()
        return _mean([each.loss for each in losses], [each.standard_error for each in losses])

    @property
    def mean_perplexity(self) -> tuple[float, float | None]:
        """Arithmetic mean over domains, and its standard error."""
        perplexities = [perplexity(each.loss) for each in self.domains.values()]
        errors = (each.standard_error for each in self.domains.values())
        scaled = [None if e is None else p * e for p, e in zip(perplexities, errors, strict=True)]
        return _mean(perplexities, scaled)

    def difference(self, other: "EvaluatedModel", domain: str) -> tuple[float, float | None] | None:
        """This loss minus another's on the same tokens, and its standard error; None if tokens differ."""
        if self.tokenizer_digest != other.tokenizer_digest:
            return None
        mine, theirs = self.domains[domain], other.domains[domain]
        difference = mine.loss - theirs.loss
        deviations = mine.losses - theirs.losses - difference * mine.tokens
        return difference, ratio_standard_error(deviations, int(mine.tokens.sum()))


def _mean(values: Sequence[float], errors: Sequence[float | None]) -> tuple[float, float | None]:
    """The mean of independent values, and its standard error; None if one error is unknown."""
    known = [error for error in errors if error is not None]
    error = math.hypot(*known) / len(values) if len(known) == len(values) else None
    return sum(values) / len(values), error


@dataclass(frozen=True)
class Evaluation:
    """Checkpoints side by side, in the order given by the user; settings of the evaluation, and notes."""

    checkpoints: tuple[EvaluatedModel, ...]
    settings: Mapping[str, Any]
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The content of the JSON file; JSON types only."""
        return {
            "format": FORMAT,
            "checkpoints": [_to_dict(each, self.checkpoints[0]) for each in self.checkpoints],
            "settings": dict(self.settings),
            "notices": list(self.notices),
            "versions": versions(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _to_dict(evaluated: EvaluatedModel, first: EvaluatedModel) -> dict[str, Any]:
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
        if evaluated is not first and (difference := evaluated.difference(first, name)):
            value, error = difference
            domains[name] |= {"loss_against_first": value, "loss_against_first_standard_error": error}
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
    """The value, or None for infinity, which JSON does not have."""
    return value if math.isfinite(value) else None


def render_evaluation(evaluation: Evaluation, written_to: str) -> str:
    """The table: a line per domain, a column per checkpoint with loss, its standard error and perplexity."""
    domains = evaluation.checkpoints[0].domains
    tokens = [f"{int(losses.tokens.sum()):,}" for losses in domains.values()]
    means = ["mean, geometric mean", "average perplexity"]
    columns = [
        Column("", ["domain", *map(display_name, domains), *means], is_text=True),
        Column("", ["tokens", *tokens, "", ""]),
    ]
    for each in evaluation.checkpoints:
        losses = [(each.domains[name].loss, each.domains[name].standard_error) for name in domains]
        cells = [
            f"{loss:.3f} +- {'-' if error is None else format(error, '.3f')}  {perplexity(loss):10.4g}"
            for loss, error in [*losses, each.mean_loss]
        ]
        average = f"{each.mean_perplexity[0]:10.4g}"
        columns.append(Column(_short(each.name), ["loss +- s.e.  perplexity", *cells, average]))
    title = f"Held-out loss on {evaluation.settings['dataset']}, nats per token"
    return "\n".join([title, "", *table_lines(columns), "", f"file  {written_to}"])


def draw_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Draw the loss of each checkpoint on each domain, with 95 % intervals.

    Raises:
        InputError: The file cannot be written.
    """
    checkpoints = evaluation.checkpoints
    names = list(checkpoints[0].domains)
    figure = new_figure(7, 1.2 + 0.45 * len(names))
    axes = new_axes(figure)
    for number, each in enumerate(checkpoints):
        losses = [each.domains[name] for name in names]
        offset = 0.5 * ((number + 0.5) / len(checkpoints) - 0.5)
        axes.errorbar(
            [each.loss for each in losses],
            [row + offset for row in range(len(names))],
            xerr=[1.96 * (each.standard_error or 0.0) for each in losses],
            fmt="o",
            capsize=3,
            color=PALETTE[number % len(PALETTE)],
            label=escape_math(_short(each.name)),
        )
    axes.set_yticks(range(len(names)), [escape_math(display_name(name)) for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("held-out loss, nats per token (bars: 95 % intervals)")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=min(len(checkpoints), 3), frameon=False)
    save_figure(figure, path, saved="the figures are in the JSON file")


def _short(name: str, most: int = 30) -> str:
    """The end of a checkpoint's name, which distinguishes it better than the beginning."""
    printable = "".join(each if each.isprintable() else "?" for each in name.rstrip("/"))
    return printable if len(printable) <= most else f"...{printable[3 - most :]}"
