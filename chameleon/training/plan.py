"""What a run is, once its text is packed: its mixture, its identity, and what its record says.

Shapes: k domains.
"""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from transformers import TrainingArguments

import chameleon
from chameleon.common.errors import InputError
from chameleon.common.files import absolute_path
from chameleon.training.inputs import TrainingInputs
from chameleon.training.mixture import RowStream, weights_at
from chameleon.training.options import MANY_EPOCHS, TrainingOptions
from chameleon.training.outcome import TrainingOutcome
from chameleon.training.packed_domain import PackedDomain
from chameleon.training.record import RunRecord
from chameleon.training.schedule import ScheduledWeights, schedule_of
from chameleon.training.trainer import MixtureRows
from chameleon.training.trainer_settings import number_of_steps, trainer_arguments


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """A run that can begin.

    Attributes:
        options: What was asked for.
        ground: Model, tokenizer and domains.
        points: The weights over the run.
        mixture: The stream of rows.
        arguments: The Trainer's settings.
        objective: What makes the objective, if it is another than the model's own.
    """

    options: TrainingOptions
    ground: TrainingInputs
    points: Sequence[ScheduledWeights]
    mixture: RowStream
    arguments: TrainingArguments
    objective: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return number_of_steps(self.options)

    @property
    def num_rows(self) -> int:
        """Rows of the stream that they take."""
        return self.steps * self.options.batch_size

    def rows(self) -> MixtureRows:
        """They, as the Trainer takes them."""
        arrays = [domain.array() for domain in self.ground.packed]
        length, with_domains = self.options.sample_length, bool(self.objective)
        return MixtureRows(self.mixture, arrays, length, self.num_rows, with_domains)

    def rows_of_step(self, step: int) -> str:
        """The shares of the domains in a step's rows, in words."""
        size = self.options.batch_size
        domains = self.mixture.rows((step - 1) * size, step * size).domains
        shares = np.bincount(domains, minlength=len(self.ground.packed)) / size
        names = self.mixture.names
        said = (f"{name} {share:.0%}" for name, share in zip(names, shares, strict=True) if share)
        return f"its rows: {', '.join(said)}"

    def trained(self, parameters: int, loss: float | None) -> TrainingOutcome:
        """What the run has come to when all its rows were taken."""
        return TrainingOutcome(
            directory=self.options.output_dir,
            names=self.mixture.names,
            weights=self.mixture.expected(self.num_rows),
            rows=self.mixture.counts(self.num_rows),
            sizes=self.mixture.sizes,
            sample_length=self.options.sample_length,
            steps=self.steps,
            loss=loss,
            parameters=parameters,
        )

    def notices(self) -> Iterator[str]:
        """What the user should know before it begins."""
        epochs = self.mixture.counts(self.num_rows) / np.maximum(self.mixture.sizes, 1)
        for name, times in zip(self.mixture.names, epochs, strict=True):
            if times > MANY_EPOCHS:
                yield (
                    f"{name} is seen {times:.1f} times; more than {MANY_EPOCHS} times gives less and less: "
                    "lower its weight, train for fewer steps, or give it more text"
                )
        for point in self.points:
            if point.step >= self.steps:
                yield (
                    f"the schedule's weights from step {point.step} on are beyond the run's {self.steps} "
                    "steps"
                )

    @cached_property
    def record(self) -> RunRecord:
        """By what it is told from other runs."""
        dtype = "bfloat16" if self.arguments.bf16 else "float32"
        return RunRecord(self._identity, self.steps, dtype)

    @property
    def _identity(self) -> dict[str, Any]:
        """What a run cannot be resumed without: by names that a user knows."""
        return {
            "corpus": {domain.name: domain.digest for domain in self.ground.packed},
            "tokenizer": self.ground.tokenizer.digest,
            "model": self.ground.source.identity,
            "seed": self.options.seed,
            "mixture": [[point.step, point.over, point.weights.tolist()] for point in self.points],
            "sample_length": self.options.sample_length,
            "batch_size": self.options.batch_size,
            "learning_rate": self.options.learning_rate,
            "min_learning_rate": self.options.min_learning_rate,
            "lr_schedule": self.options.lr_schedule,
            "warmup_steps": self.options.warmup_steps,
            "weight_decay": self.options.weight_decay,
            **self.objective,
        }

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the record says of the run besides its identity."""
        settings = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self.options).items()
        }
        settings["dataset"] = absolute_path(self.options.dataset)
        names = self.mixture.names
        return {
            "settings": settings,
            "schedule": [
                {
                    "step": point.step,
                    "over": point.over,
                    "weights": dict(zip(names, point.weights.tolist(), strict=True)),
                }
                for point in self.points
            ],
            "heldout_share": self.options.heldout_share,
            "model": self.ground.source.name,
            "tokenizer": {"path": str(self.ground.tokenizer_path), "digest": self.ground.tokenizer.digest},
            "processes": self.arguments.world_size,
            "versions": {
                "chameleon": chameleon.__version__,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "python": platform.python_version(),
            },
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def plan_run(
    options: TrainingOptions,
    ground: TrainingInputs,
    processes: int,
) -> TrainingPlan:
    """The run of a model on packed domains.

    Args:
        options: What is asked for.
        ground: Model, tokenizer and domains.
        processes: How many train together.

    Raises:
        InputError: The weights are not of these domains, or one with a weight has not a row.
    """
    packed = ground.packed
    points = schedule_of(options, {domain.name: domain.tokens for domain in packed})
    sizes = np.array([domain.tokens // options.sample_length for domain in packed], dtype=np.int64)
    require_rows(points, packed, sizes, options.sample_length)
    phases = tuple(weights_at(points, options.batch_size))
    mixture = RowStream(tuple(domain.name for domain in packed), sizes, phases, options.seed)
    arguments = trainer_arguments(options, number_of_steps(options), processes)
    return TrainingPlan(options, ground, points, mixture, arguments)


def require_rows(
    points: Sequence[ScheduledWeights],
    packed: Sequence[PackedDomain],
    sizes: npt.NDArray[np.int64],
    length: int,
) -> None:
    """Raise InputError for a domain that has a weight, but not one of its (k,) `sizes` rows."""
    for number, domain in enumerate(packed):
        weight = max(float(point.weights[number]) for point in points)
        if weight > 0 and not sizes[number]:
            raise InputError(
                f"domain {domain.name} has the weight {weight:.4g}, but only {domain.tokens} tokens to "
                f"train on, less than one row of {length}; give it text, leave it out (--domains), or "
                "lower --sample_length"
            )
