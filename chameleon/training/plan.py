"""A training run, decided in full before it starts: its rows, its identity, its record.

Shapes: k domains.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainingArguments

from chameleon.common.errors import InputError
from chameleon.common.files import absolute_path
from chameleon.common.libraries import versions
from chameleon.training.inputs import TrainingInputs
from chameleon.training.options import MANY_EPOCHS, TrainingOptions
from chameleon.training.outcome import TrainingOutcome
from chameleon.training.row_stream import RowStream
from chameleon.training.run_directory import RunRecord
from chameleon.training.schedule import ScheduledWeights, phases_of, schedule_for_run
from chameleon.training.trainer import StreamDataset
from chameleon.training.trainer_settings import count_steps, trainer_arguments

# Options that identify a run: it is not resumed with others.
_IDENTIFYING = (
    "sample_length", "batch_size", "learning_rate", "min_learning_rate", "lr_schedule", "warmup_steps",
    "weight_decay",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """A run that can start; `objective` is the identity of its objective, if not the model's own loss."""

    options: TrainingOptions
    inputs: TrainingInputs
    schedule: Sequence[ScheduledWeights]
    stream: RowStream
    arguments: TrainingArguments
    objective: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return count_steps(self.options)

    @property
    def num_rows(self) -> int:
        """Rows of the stream that the run takes."""
        return self.steps * self.options.batch_size

    def dataset(self) -> StreamDataset:
        """The run's rows for the Trainer; with their domains if there is an objective."""
        arrays = [domain.array() for domain in self.inputs.packed]
        length, with_domains = self.options.sample_length, bool(self.objective)
        return StreamDataset(self.stream, arrays, length, self.num_rows, with_domains)

    def describe_step(self, step: int) -> str:
        """The shares of the domains in a step's rows, in words."""
        size = self.options.batch_size
        domains = self.stream.rows((step - 1) * size, step * size).domains
        shares = np.bincount(domains, minlength=len(self.stream.names)) / size
        named = zip(self.stream.names, shares, strict=True)
        return f"its rows: {', '.join(f'{name} {share:.0%}' for name, share in named if share)}"

    def outcome(self, parameters: int, loss: float | None) -> TrainingOutcome:
        """The outcome of the finished run: the number of parameters, and the last logged loss."""
        return TrainingOutcome(
            directory=self.options.output_dir,
            names=self.stream.names,
            weights=self.stream.mean_weights(self.num_rows),
            rows=self.stream.counts(self.num_rows),
            sizes=self.stream.sizes,
            sample_length=self.options.sample_length,
            steps=self.steps,
            loss=loss,
            parameters=parameters,
        )

    def notes(self) -> Iterator[str]:
        """What the user should know before the run starts."""
        epochs = self.stream.counts(self.num_rows) / np.maximum(self.stream.sizes, 1)
        for name, times in zip(self.stream.names, epochs, strict=True):
            if times > MANY_EPOCHS:
                yield (
                    f"{name} is repeated {times:.1f} times, and beyond {MANY_EPOCHS} times a model gains "
                    "less and less: lower its weight, train for fewer steps, or add text"
                )
        for step in (entry.step for entry in self.schedule if entry.step >= self.steps):
            yield f"the schedule's weights from step {step} on are beyond the run's {self.steps} steps"

    @cached_property
    def record(self) -> RunRecord:
        """What distinguishes the run from others."""
        identity = {
            "corpus": {domain.name: domain.digest for domain in self.inputs.packed},
            "tokenizer": self.inputs.tokenizer.digest,
            "model": self.inputs.source.identity,
            "seed": self.options.seed,
            "mixture": [[entry.step, entry.over, entry.weights.tolist()] for entry in self.schedule],
            **{name: getattr(self.options, name) for name in _IDENTIFYING},
            **self.objective,
        }
        return RunRecord(identity, self.steps, "bfloat16" if self.arguments.bf16 else "float32")

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the record says of the run besides its identity; JSON types only."""
        options = asdict(self.options) | {"dataset": absolute_path(self.options.dataset)}
        names = self.stream.names
        return {
            "settings": {key: str(each) if isinstance(each, Path) else each for key, each in options.items()},
            "schedule": [
                {"step": step, "over": over, "weights": dict(zip(names, weights.tolist(), strict=True))}
                for step, over, weights in self.schedule
            ],
            "heldout_share": self.options.heldout_share,
            "model": self.inputs.source.name,
            "tokenizer": {"path": str(self.inputs.tokenizer_path), "digest": self.inputs.tokenizer.digest},
            "processes": self.arguments.world_size,
            "versions": versions(),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def plan_run(options: TrainingOptions, inputs: TrainingInputs, processes: int) -> TrainingPlan:
    """Plan the run of a model on packed domains, by a number of processes that train together.

    Raises:
        InputError: The weights are for other domains, or a domain with a weight has no row.
    """
    packed, length = inputs.packed, options.sample_length
    schedule = schedule_for_run(options, {domain.name: domain.tokens for domain in packed})
    sizes = np.array([domain.tokens // length for domain in packed], dtype=np.int64)
    for number, domain in enumerate(packed):
        weight = max(float(entry.weights[number]) for entry in schedule)
        if weight > 0 and not sizes[number]:
            raise InputError(
                f"domain {domain.name} has the weight {weight:.4g}, but only {domain.tokens} tokens to "
                f"train on, less than one row of {length}; add text, leave the domain out (--domains), or "
                "lower --sample_length"
            )
    phases = tuple(phases_of(schedule, options.batch_size))
    stream = RowStream(tuple(domain.name for domain in packed), sizes, phases, options.seed)
    return TrainingPlan(options, inputs, schedule, stream, trainer_arguments(options, processes))
