"""The weights of the domains over a run, from what the user named.

Accepted are "uniform", "natural" (shares of the packed tokens), a weights file, and a schedule file:

    {"schedule": [{"step": 0, "weights": W}, {"step": 1000, "weights": W, "over": 200}, ...]}

where W is one of the first three or an object from domain to share, and `over` is the number of steps during
which the previous weights change into these.

Shapes: k domains.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from chameleon.common.arrays import Array, is_number
from chameleon.common.errors import InputError
from chameleon.common.files import local_path
from chameleon.training.options import TrainingOptions
from chameleon.training.row_stream import MAX_ROWS, Phase
from chameleon.weights.domain_weights import DomainWeights


class ScheduledWeights(NamedTuple):
    """From `step` on, (k,) weights, into which the previous ones change during `over` steps."""

    step: int
    over: int
    weights: Array


def schedule_for_run(options: TrainingOptions, tokens: Mapping[str, int]) -> list[ScheduledWeights]:
    """The weights over a run; constant weights are a schedule of one entry.

    Args:
        options: Options of the run.
        tokens: Training tokens of each domain; before they are known, any numbers above 0 serve to check
            the weights that the user named.

    Raises:
        InputError: The file cannot be read, or does not hold weights or a schedule of these domains, or there
            is nothing to train on.
    """
    if not any(tokens.values()):
        raise InputError(f"{options.dataset} has no text to train on besides held-out documents")
    if options.weights not in ("uniform", "natural"):
        path = local_path(options.weights)
        content = _read_json(path)
        if isinstance(content, dict) and "schedule" in content:
            return _parse_schedule(content["schedule"], path, options, tokens)
    return [ScheduledWeights(0, 0, _parse_weights(options.weights, Path(), "", options, tokens))]


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


def _match(
    weights: Mapping[str, float], source: str, options: TrainingOptions, names: Collection[str]
) -> Array:
    """(k,) weights in the order of the domains; the names must be the same, and `source` is their origin."""
    renamed: dict[str, float] = {}
    rename = options.rename or {}
    for name, weight in weights.items():
        new = rename.get(name, name)
        if new in renamed:
            raise InputError(f"{source}: two weights are for {new} (--rename)")
        renamed[new] = weight
    if unknown := sorted(rename.keys() - weights.keys()):
        raise InputError(f"--rename names {unknown[0]}, but {source} has {', '.join(weights)}")
    if set(renamed) != set(names):
        raise InputError(
            f"{source} has weights for {', '.join(renamed)}, but {options.dataset} has the domains "
            f"{', '.join(names)}; the names must agree: map them with --rename THEIRS=OURS,... or "
            "select domains with --domains"
        )
    for name, weight in renamed.items():
        if not 0 <= weight <= 1:
            raise InputError(
                f"{source}: the weight of {name} is {weight!r:.40}; expected a share from 0 to 1"
            )
    shares = np.array([renamed[name] for name in names], dtype=np.float64)
    if abs(shares.sum() - 1) > 1e-6:
        raise InputError(f"{source}: weights must be shares that sum to 1, these sum to {shares.sum():.9g}")
    return np.asarray(shares / shares.sum())


def _parse_schedule(
    entries: object, path: Path, options: TrainingOptions, tokens: Mapping[str, int]
) -> list[ScheduledWeights]:
    if not isinstance(entries, list) or not entries:
        raise InputError(f'{path}: expected a list of objects in "schedule"')
    schedule: list[ScheduledWeights] = []
    for number, entry in enumerate(entries, 1):
        place = f"{path}, entry {number} of the schedule"
        keys = entry.keys() if isinstance(entry, dict) else set()
        if not {"step", "weights"} <= keys <= {"step", "weights", "over"}:
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
        weights = _parse_weights(entry["weights"], path.parent, place, options, tokens)
        schedule.append(ScheduledWeights(step, over, weights))
    return schedule


def _parse_weights(
    weights: object, directory: Path, place: str, options: TrainingOptions, tokens: Mapping[str, int]
) -> Array:
    """(k,) weights that a string names or an object holds; file names are relative to the directory."""
    if weights == "uniform":
        return np.full(len(tokens), 1 / len(tokens))
    if weights == "natural":
        counts = np.array(list(tokens.values()), dtype=np.int64)
        return np.asarray(counts / counts.sum())
    if isinstance(weights, str):
        path = directory / local_path(weights)
        return _match(_read_weights(path), str(path), options, tokens)
    if _is_weights(weights):
        return _match(weights, place, options, tokens)
    raise InputError(f"{place}: expected uniform, natural, a weights file or an object from domain to share")


def _is_weights(value: object) -> TypeGuard[dict[str, float]]:
    return isinstance(value, dict) and all(map(is_number, value.values()))
