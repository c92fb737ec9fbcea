"""What an evaluation has found, and the same as JSON."""

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
import transformers

import chameleon
from chameleon.evaluation.losses import DocumentLosses, perplexity, ratio_error

FORMAT = "chameleon-evaluation/1"


@dataclass(frozen=True)
class Evaluated:
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

    def difference(self, other: "Evaluated", domain: str) -> tuple[float, float | None] | None:
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

    checkpoints: tuple[Evaluated, ...]
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


def _facts(evaluated: Evaluated, first: Evaluated) -> dict[str, Any]:
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
