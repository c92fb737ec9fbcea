"""What rivals are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from chameleon.rivals.regmix.search import BEST, SIMULATED
from chameleon.rivals.regmix.side_by_side import Engine
from chameleon.training.options import TrainingOptions

METHODS = ("uniform", "natural", "temperature", "regmix", "doremi", "doge")
DEFAULT_OUTPUT_DIR = "./rivals/"
DEFAULT_TEMPERATURE = 2.0
DEFAULT_SEEDS = 2
DEFAULT_MAX_TOKENS = 1 << 16
DEFAULT_STEP_SIZE, DEFAULT_SMOOTHING, DEFAULT_MU = 1.0, 1e-3, 0.01


@dataclass(frozen=True, kw_only=True)
class RivalOptions:
    """By the names of the flags; None is left to the program. Each method looks at its own.

    `python -m chameleon.rivals METHOD --help` says what each does.
    """

    training: TrainingOptions
    token_counts: Path | None = None
    budget: float | None = None
    max_epochs: dict[str, float] | None = None
    temperature: float = DEFAULT_TEMPERATURE
    num_seeds: int = DEFAULT_SEEDS
    reference_weights: str = "uniform"
    step_size: float = DEFAULT_STEP_SIZE
    smoothing: float = DEFAULT_SMOOTHING
    mu: float = DEFAULT_MU
    target_domains: tuple[str, ...] | None = None
    out_of_domain: bool = False
    runs: Path | None = None
    losses: Path | None = None
    num_runs: int | None = None
    run_steps: int | None = None
    regressor: str | None = None
    num_simulated: int = SIMULATED
    num_best: int = BEST
    max_heldout_tokens: int = DEFAULT_MAX_TOKENS
    engine: Engine = field(default_factory=Engine)


def options_from(given: Mapping[str, Any]) -> RivalOptions:
    """From flags by their names, of which each method has some."""
    training = {each.name: given[each.name] for each in fields(TrainingOptions) if each.name in given}
    training.setdefault("output_dir", Path(DEFAULT_OUTPUT_DIR))
    if training.get("domains") is None:
        training.pop("domains", None)
    mine = {
        each.name: given[each.name]
        for each in fields(RivalOptions)
        if each.name in given and each.name not in ("training", "engine")
    }
    engine = Engine()
    if "engine" in given:
        gpus = given["num_gpus_per_worker"]
        engine = Engine(given["engine"], given["num_workers"], given["ray_address"], gpus)
    return RivalOptions(training=TrainingOptions(**training), engine=engine, **mine)
