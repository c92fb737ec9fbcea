"""What a run has come to, and what its record says.

Shapes: k domains.
"""

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

import chameleon
from chameleon.files import place_of
from chameleon.proxy_tokenizer import ProxyTokenizer
from chameleon.training.mixture import Mixture
from chameleon.training.models import ModelSource
from chameleon.training.options import MANY_EPOCHS, TrainingOptions
from chameleon.training.packed import PackedDomain
from chameleon.training.weighting import Point


@dataclass(frozen=True)
class Trained:
    """What a run has come to.

    Attributes:
        directory: The model's.
        names: (k,) domains.
        weights: (k,) as asked for, on average over the run.
        rows: (k,) that the run took of each.
        sizes: (k,) that each has.
        sample_length: Tokens of a row.
        steps: Steps in all.
        loss: The last that was logged, or None.
        parameters: Of the model.
    """

    directory: Path
    names: tuple[str, ...]
    weights: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    sample_length: int
    steps: int
    loss: float | None
    parameters: int

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """(k,) of the tokens that were trained on."""
        return self.rows / max(int(self.rows.sum()), 1)

    @property
    def epochs(self) -> npt.NDArray[np.float64]:
        """(k,) how often each domain was seen."""
        return self.rows / np.maximum(self.sizes, 1)


def rows_of_step(mixture: Mixture, step: int, batch_size: int) -> str:
    """The shares of the domains in a step's rows, in words."""
    domains = mixture.rows((step - 1) * batch_size, step * batch_size).domains
    counts = np.bincount(domains, minlength=len(mixture.names)) / batch_size
    shares = (f"{name} {share:.0%}" for name, share in zip(mixture.names, counts, strict=True) if share)
    return f"its rows: {', '.join(shares)}"


def tell_repeats(planned: Trained, notify: Callable[[str], None]) -> None:
    """Say which domains are seen more than `MANY_EPOCHS` times."""
    for name, epochs in zip(planned.names, planned.epochs, strict=True):
        if epochs > MANY_EPOCHS:
            notify(
                f"{name} is seen {epochs:.1f} times; more than {MANY_EPOCHS} times gives less and less: "
                "lower its weight, train for fewer steps, or give it more text"
            )


def outcome_of(trained: Trained) -> dict[str, Any]:
    """What was trained on, and what came of it: JSON types only."""
    length = trained.sample_length
    columns = zip(
        trained.names, trained.rows.tolist(), trained.shares.tolist(), trained.epochs.tolist(), strict=True
    )
    return {
        "steps": trained.steps,
        "tokens": int(trained.rows.sum()) * length,
        "domains": {
            name: {"tokens": rows * length, "share": share, "epochs": epochs}
            for name, rows, share, epochs in columns
        },
        "loss": trained.loss,
        "parameters": trained.parameters,
    }


def facts_of(
    options: TrainingOptions,
    source: ModelSource,
    tokenizer_path: Path,
    tokenizer: ProxyTokenizer,
    packed: list[PackedDomain],
    points: list[Point],
    processes: int,
) -> dict[str, Any]:
    """What the record says of the run besides its identity."""
    settings = {
        name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()
    }
    settings["dataset"] = place_of(options.dataset)
    names = [domain.name for domain in packed]
    return {
        "settings": settings,
        "schedule": [
            {
                "step": point.step,
                "over": point.over,
                "weights": dict(zip(names, point.weights.tolist(), strict=True)),
            }
            for point in points
        ],
        "heldout_share": options.heldout_share,
        "model": source.name,
        "tokenizer": {"path": str(tokenizer_path), "digest": tokenizer.digest},
        "processes": processes,
        "versions": {
            "chameleon": chameleon.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
