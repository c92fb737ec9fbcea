"""The weights of the domains over a run, from what the user named.

Accepted are "uniform", "natural" (shares of the packed tokens), a weights file, and a schedule file:

    {"schedule": [{"step": 0, "weights": W}, {"step": 1000, "weights": W, "over": 200}, ...]}

where W is one of the first three or an object from domain to share, and `over` is the number of steps during
which the previous weights change into these.

Shapes: k domains.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import is_number
from chameleon.common.errors import InputError
from chameleon.common.files import local_path
from chameleon.training.options import TrainingOptions
from chameleon.training.row_stream import MAX_ROWS, Phase
from chameleon.weights.domain_weights import DomainWeights


class ScheduledWeights(NamedTuple):
    """From `step` on, (k,) weights, into which the previous ones change during `over` steps."""

    step: int
    over: int
    weights: npt.NDArray[np.float64]


@dataclass(frozen=True)
class MixtureDomains:
    """The domains that weights are needed for.

    Attributes:
        names: (k,) domain names.
        tokens: (k,) int64 training tokens of each.
        corpus: The corpus, as the user named it.
        rename: Names of these domains by the names in weights files, where the two differ.
    """

    names: Sequence[str]
    tokens: npt.NDArray[np.int64]
    corpus: str
    rename: Mapping[str, str]


def schedule_for_run(options: TrainingOptions, tokens: Mapping[str, int]) -> list[ScheduledWeights]:
    """The weights over a run.

    Args:
        options: Options of the run.
        tokens: Training tokens of each domain; before they are known, any numbers above 0 serve to check
            the weights that the user named.

    Raises:
        InputError: The weights are for other domains, or there is nothing to train on.
    """
    counts = np.array(list(tokens.values()), dtype=np.int64)
    if not counts.sum():
        raise InputError(f"{options.dataset} has no text to train on besides held-out documents")
    domains = MixtureDomains(list(tokens), counts, options.dataset, options.rename or {})
    return read_schedule(options.weights, domains)


def read_schedule(weights: str, domains: MixtureDomains) -> list[ScheduledWeights]:
    """The schedule that `weights` names; constant weights are a schedule of one entry.

    Raises:
        InputError: The file cannot be read, or does not hold weights or a schedule of these domains.
    """
    if weights in ("uniform", "natural"):
        return [ScheduledWeights(0, 0, _plain_weights(weights, domains))]
    path = local_path(weights)
    content = _read_json(path)
    if isinstance(content, dict) and "schedule" in content:
        return _parse_schedule(content["schedule"], path, domains)
    return [ScheduledWeights(0, 0, _match(_read_weights(path), str(path), domains))]


def phases_of(schedule: Sequence[ScheduledWeights], rows_per_step: int) -> list[Phase]:
    """The phases of a row stream that follow a schedule; gradual changes become up to 100 stairs."""
    phases: list[Phase] = []
    for step, over, weights in schedule:
        stairs = min(over, 100)
        before = phases[-1].weights if phases else weights
        for stair in range(stairs):
            share = (stair + 0.5) / stairs
            first = (step + stair * over // stairs) * rows_per_step
            phases.append(Phase(first, (1 - share) * before + share * weights))
        phases.append(Phase((step + over) * rows_per_step, weights))
    return phases


def _plain_weights(name: str, domains: MixtureDomains) -> npt.NDArray[np.float64]:
    if name == "uniform":
        return np.full(len(domains.names), 1 / len(domains.names))
    shares: npt.NDArray[np.float64] = domains.tokens / domains.tokens.sum()
    return shares


def _read_json(path: Path) -> Any:  # noqa: ANN401
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot read the weights {path}: {error.strerror}; expected uniform, natural or a weights file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a weights file: {error}") from None


def _read_weights(path: Path) -> dict[str, float]:
    """The weights in a weights file, or in a plain object from domain to number."""
    content = _read_json(path)
    if content and _is_weights(content):
        return dict(content)
    return DomainWeights.read(path).by_name()


def _match(weights: Mapping[str, float], source: str, domains: MixtureDomains) -> npt.NDArray[np.float64]:
    """(k,) weights in the order of the domains; the names must be the same.

    Raises:
        InputError: They are not, or the weights are no shares; `source` names their origin.
    """
    renamed: dict[str, float] = {}
    for name, weight in weights.items():
        new = domains.rename.get(name, name)
        if new in renamed:
            raise InputError(f"{source}: two weights are for {new} (--rename)")
        renamed[new] = weight
    if unknown := sorted(domains.rename.keys() - weights.keys()):
        raise InputError(f"--rename names {unknown[0]}, but {source} has {', '.join(weights)}")
    if set(renamed) != set(domains.names):
        raise InputError(
            f"{source} has weights for {', '.join(renamed)}, but {domains.corpus} has the domains "
            f"{', '.join(domains.names)}; the names must agree: map them with --rename THEIRS=OURS,... or "
            "select domains with --domains"
        )
    for name, weight in renamed.items():
        if not 0 <= weight <= 1:
            raise InputError(
                f"{source}: the weight of {name} is {weight!r:.40}; expected a share from 0 to 1"
            )
    shares: npt.NDArray[np.float64] = np.array([renamed[name] for name in domains.names], dtype=np.float64)
    if abs(shares.sum() - 1) > 1e-6:
        raise InputError(f"{source}: weights must be shares that sum to 1, these sum to {shares.sum():.9g}")
    shares /= shares.sum()
    return shares


def _parse_schedule(entries: Any, path: Path, domains: MixtureDomains) -> list[ScheduledWeights]:  # noqa: ANN401
    if not isinstance(entries, list) or not entries:
        raise InputError(f'{path}: expected a list of objects in "schedule"')
    schedule: list[ScheduledWeights] = []
    for number, entry in enumerate(entries, 1):
        place = f"{path}, entry {number} of the schedule"
        if not isinstance(entry, dict) or not {"step", "weights"} <= entry.keys() <= {
            "step",
            "weights",
            "over",
        }:
            raise InputError(f"{place}: expected an object with step, weights and, optionally, over")
        step, over = entry["step"], entry.get("over", 0)
        if not all(type(each) is int and each >= 0 for each in (step, over)):
            raise InputError(f"{place}: expected whole numbers of steps, got step {step!r} and over {over!r}")
        if step + over > MAX_ROWS:
            raise InputError(f"{place}: step {step!r:.40} is beyond any run")
        if not schedule and (step, over) != (0, 0):
            raise InputError(f"{place}: the first entry must have step 0 and no over")
        if schedule and step < schedule[-1].step + max(schedule[-1].over, 1):
            end = schedule[-1].step + schedule[-1].over
            raise InputError(
                f"{place}: step {step} is not after the previous entry, which ends at step {end}"
            )
        schedule.append(ScheduledWeights(step, over, _parse_weights(entry["weights"], path, place, domains)))
    return schedule


def _parse_weights(weights: Any, path: Path, place: str, domains: MixtureDomains) -> npt.NDArray[np.float64]:  # noqa: ANN401
    """(k,) weights of a schedule's entry; file names are relative to the schedule's directory."""
    if weights in ("uniform", "natural"):
        return _plain_weights(weights, domains)
    if isinstance(weights, str):
        other = path.parent / local_path(weights)
        return _match(_read_weights(other), str(other), domains)
    if _is_weights(weights):
        return _match(weights, place, domains)
    raise InputError(f"{place}: expected uniform, natural, a weights file or an object from domain to share")


def _is_weights(value: object) -> bool:
    return isinstance(value, dict) and all(map(is_number, value.values()))
