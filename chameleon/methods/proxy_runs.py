"""Methods that move the weights of domains while a proxy trains: DoReMi and DoGE, over several seeds.

Shapes: s seeds, k domains.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chameleon.common.arrays import Array
from chameleon.common.command_line import Notify
from chameleon.common.files import digest_of_files, write_atomically
from chameleon.methods.cost import Cost, training_cost
from chameleon.methods.doge import DoGE, DoGESettings
from chameleon.methods.doremi import DoReMi, DoReMiSettings
from chameleon.training.models import build_model, find_model
from chameleon.training.options import TrainingOptions
from chameleon.training.outcome import TrainingOutcome
from chameleon.training.plan import TrainingPlan
from chameleon.training.run import train
from chameleon.training.run_directory import RECORD

TRAJECTORY = "weights.csv"


@dataclass(frozen=True, eq=False)
class SeedRun:
    """What one proxy came to.

    Attributes:
        seed: Of its first weights and order of rows.
        names: (k,) domains.
        weights: (k,) their mean over its steps.
        trajectory: Steps, and (k,) weights after them.
    """

    seed: int
    names: tuple[str, ...]
    weights: Array
    trajectory: Sequence[tuple[int, Sequence[float]]]

    def by_name(self) -> dict[str, float]:
        """The weight of each domain."""
        return dict(zip(self.names, self.weights.tolist(), strict=True))


def by_doremi(
    options: TrainingOptions, settings: DoReMiSettings, reference: str, seeds: int, notify: Notify
) -> tuple[list[SeedRun], Cost]:
    """Weights by DoReMi, and what they cost.

    Args:
        options: Of all trainings; models go to directories in its output_dir.
        settings: Of the method.
        reference: The weights that the reference model is trained with, as of `python -m chameleon train`.
        seeds: How many proxies are trained, with seeds from that of the options on.
        notify: Told, in a sentence each, what the user should know.

    Raises:
        InputError: As of `chameleon.training.run.train`.
    """
    directory = options.output_dir
    first = replace(options, output_dir=directory / "reference", weights=reference)
    trained = _trained(first, notify, None)
    cost = training_cost(trained.directory, trained.rows, options.sample_length, 3)

    def objective_for(plan: TrainingPlan) -> DoReMi:
        tokenizer = plan.inputs.tokenizer
        model: Any = build_model(
            find_model(str(trained.directory)), tokenizer.vocabulary, tokenizer.end_of_text,
            options.sample_length, 0, options.trust_remote_code,
        )  # fmt: skip
        dtype = torch.bfloat16 if plan.arguments.bf16 else torch.float32
        digest = digest_of_files(sorted(trained.directory.glob("*.safetensors")))
        k = len(plan.stream.names)
        return DoReMi(k, model.to(plan.arguments.device), digest, settings, dtype)

    return _by_seeds(options, objective_for, seeds, cost, notify)


def by_doge(
    options: TrainingOptions,
    settings_for: Callable[[tuple[str, ...]], DoGESettings],
    seeds: int,
    notify: Notify,
) -> tuple[list[SeedRun], Cost]:
    """Weights by DoGE, and what they cost.

    Args:
        options, seeds, notify: As of `by_doremi`.
        settings_for: Of the method, for domains of these names.

    Raises:
        InputError: As of `chameleon.training.run.train`.
    """

    def objective_for(plan: TrainingPlan) -> DoGE:
        return DoGE(len(plan.stream.names), settings_for(plan.stream.names))

    return _by_seeds(options, objective_for, seeds, Cost(), notify)


def _by_seeds(
    options: TrainingOptions,
    objective_for: Callable[[TrainingPlan], DoReMi | DoGE],
    seeds: int,
    cost: Cost,
    notify: Notify,
) -> tuple[list[SeedRun], Cost]:
    """A proxy a seed, each on rows of all domains alike."""
    found = []
    for seed in range(options.seed, options.seed + seeds):
        made: list[DoReMi | DoGE] = []

        def remembered(plan: TrainingPlan, made: list[DoReMi | DoGE] = made) -> DoReMi | DoGE:
            made.append(objective_for(plan))
            return made[0]

        directory = options.output_dir / f"proxy-{seed}"
        proxy = replace(options, output_dir=directory, weights="uniform", seed=seed)
        trained = _trained(proxy, notify, remembered)
        moving = made[0].moving
        names = made[0].names_of(trained.names)
        found.append(SeedRun(seed, names, moving.mean, moving.trajectory))
        _write_trajectory(found[-1], directory / TRAJECTORY)
        cost += training_cost(directory, trained.rows, options.sample_length, made[0].passes)
    return found, cost


def _trained(
    options: TrainingOptions, notify: Notify, objective_for: Callable[[TrainingPlan], DoReMi | DoGE] | None
) -> TrainingOutcome:
    """A run, gone on with where it was begun before."""
    begun = (options.output_dir / RECORD).exists()
    return train(replace(options, resume=begun), notify, objective_for)


def _write_trajectory(seed: SeedRun, path: Path) -> None:
    lines = [",".join(["step", *('"' + name.replace('"', '""') + '"' for name in seed.names)])]
    lines += [
        ",".join([str(step), *(f"{each:.6g}" for each in weights)]) for step, weights in seed.trajectory
    ]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def seed_distance(seeds: Sequence[SeedRun]) -> float:
    """The largest distance between what two seeds came to: the share of tokens that is of other domains."""
    weights = np.stack([each.weights for each in seeds])
    return float(np.abs(weights[:, None] - weights[None]).sum(axis=2).max() / 2)
