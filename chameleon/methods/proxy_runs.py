"""DoReMi and DoGE over several seeds: a proxy is trained for each, and the weights are averaged.

Shapes: s seeds, k domains.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from chameleon.common.arrays import Array
from chameleon.common.command_line import Notify
from chameleon.common.files import digest_of_files
from chameleon.methods.cost import Cost, training_cost
from chameleon.methods.doge import DoGE, DoGESettings
from chameleon.methods.doremi import DoReMi
from chameleon.methods.inputs import check_and_pack
from chameleon.methods.options import MethodOptions
from chameleon.methods.outcome import MethodOutcome, method_weights, training_settings
from chameleon.methods.pictures import draw_trajectory
from chameleon.methods.runs import write_csv
from chameleon.methods.token_counts import packed_counts
from chameleon.training.models import build_model, find_model
from chameleon.training.options import TrainingOptions
from chameleon.training.outcome import TrainingOutcome
from chameleon.training.plan import TrainingPlan
from chameleon.training.run import train
from chameleon.training.run_directory import RECORD

TRAJECTORY = "weights.csv"

# Seeds whose weights differ by more than this share of all tokens are reported as unstable.
_UNSTABLE = 0.1
ProxyObjective = DoReMi | DoGE


@dataclass(frozen=True, eq=False)
class SeedRun:
    """The weights of k domains by the proxy of one seed.

    `weights` are the (k,) mean over its steps, and `trajectory` has steps with the (k,) weights after each.
    """

    seed: int
    names: tuple[str, ...]
    weights: Array
    trajectory: Sequence[tuple[int, Sequence[float]]]


def weights_by_proxies(method: str, options: MethodOptions, notify: Notify) -> MethodOutcome:
    """Weights by doremi or doge: the mean over proxies of --num_seeds seeds.

    Raises:
        InputError: See `check_and_pack` and `chameleon.training.run.train`.
    """
    options, inputs = check_and_pack((method,), options, notify)
    training = replace(options.training, output_dir=options.training.output_dir / method)
    settings = training_settings(training)
    objective_for: Callable[[TrainingPlan], ProxyObjective]
    if method == "doremi":
        own = ("step_size", "smoothing", "reference_weights")
        objective_for, cost = _doremi(training, options, notify)
    else:
        own = ("mu", "target_domains", "out_of_domain")
        doge = DoGESettings.of(options, tuple(domain.name for domain in inputs.packed))
        objective_for, cost = (lambda plan: DoGE(len(plan.stream.names), doge)), Cost()
    for name in own:
        value = getattr(options, name)
        settings[name] = list(value) if isinstance(value, tuple) else value
    seeds, proxy_cost = _train_proxies(training, objective_for, options.num_seeds, notify)
    diagnostics: dict[str, Any] = {
        "cost": (cost + proxy_cost).to_dict(),
        "seeds": {
            str(each.seed): dict(zip(each.names, each.weights.tolist(), strict=True)) for each in seeds
        },
    }
    notices: tuple[str, ...] = ()
    if len(seeds) > 1:
        distance = diagnostics["seeds_apart"] = _largest_distance(seeds)
        if distance > _UNSTABLE:
            notices = (
                f"{method} is unstable here: weights of two seeds differ by {distance:.2f} of all tokens "
                f"(more than {_UNSTABLE:g}); train the proxies longer, or look at the weights of each seed "
                "rather than at their mean",
            )
            notify(notices[0])
    weights = np.mean([each.weights for each in seeds], axis=0)
    made = method_weights(
        method, seeds[0].names, weights, options, packed_counts(options, inputs), settings, diagnostics,
        _standard_errors(seeds), notices,
    )  # fmt: skip
    return MethodOutcome(made, partial(draw_trajectory, method, seeds))


def _doremi(
    training: TrainingOptions, options: MethodOptions, notify: Notify
) -> tuple[Callable[[TrainingPlan], DoReMi], Cost]:
    """Train DoReMi's reference model; returns what makes the objective of a proxy, and the cost."""
    directory = training.output_dir / "reference"
    reference = replace(training, output_dir=directory, weights=options.reference_weights)
    trained = _train_or_resume(reference, notify, None)

    def objective_for(plan: TrainingPlan) -> DoReMi:
        tokenizer = plan.inputs.tokenizer
        model: Any = build_model(
            find_model(str(directory)), tokenizer.vocabulary, tokenizer.end_of_text, training.sample_length,
            0, training.trust_remote_code,
        )  # fmt: skip
        dtype = torch.bfloat16 if plan.arguments.bf16 else torch.float32
        digest = digest_of_files(sorted(directory.glob("*.safetensors")))
        k, model = len(plan.stream.names), model.to(plan.arguments.device)
        return DoReMi(k, model, digest, dtype, options.step_size, options.smoothing)

    return objective_for, training_cost(directory, trained.rows, training.sample_length, 3)


def _train_proxies(
    options: TrainingOptions,
    objective_for: Callable[[TrainingPlan], ProxyObjective],
    num_seeds: int,
    notify: Notify,
) -> tuple[list[SeedRun], Cost]:
    """Train a proxy for each seed, on as many rows of each domain."""
    seeds, cost = [], Cost()
    for seed in range(options.seed, options.seed + num_seeds):
        objectives: list[ProxyObjective] = []

        def remember(plan: TrainingPlan, objectives: list[ProxyObjective] = objectives) -> ProxyObjective:
            objectives.append(objective_for(plan))
            return objectives[0]

        directory = options.output_dir / f"proxy-{seed}"
        proxy = replace(options, output_dir=directory, weights="uniform", seed=seed)
        trained = _train_or_resume(proxy, notify, remember)
        (objective,) = objectives
        moving = objective.moving
        seeds.append(SeedRun(seed, objective.weighted(trained.names), moving.mean, moving.trajectory))
        rows = ([step, *(f"{each:.6g}" for each in weights)] for step, weights in moving.trajectory)
        write_csv(directory / TRAJECTORY, ["step", *seeds[-1].names], rows)
        cost += training_cost(directory, trained.rows, options.sample_length, objective.passes)
    return seeds, cost


def _train_or_resume(
    options: TrainingOptions, notify: Notify, objective_for: Callable[[TrainingPlan], ProxyObjective] | None
) -> TrainingOutcome:
    return train(replace(options, resume=(options.output_dir / RECORD).exists()), notify, objective_for)


def _largest_distance(seeds: Sequence[SeedRun]) -> float:
    """The largest total variation distance between the weights of two seeds."""
    weights = np.stack([each.weights for each in seeds])
    return float(np.abs(weights[:, None] - weights[None]).sum(axis=2).max() / 2)


def _standard_errors(seeds: Sequence[SeedRun]) -> dict[str, dict[str, float]]:
    """Standard errors of the mean over seeds, by domain, where there are two seeds or more."""
    if len(seeds) < 2:
        return {}
    errors = np.std([each.weights for each in seeds], axis=0, ddof=1) / np.sqrt(len(seeds))
    return {name: {"standard_error": float(e)} for name, e in zip(seeds[0].names, errors, strict=True)}
