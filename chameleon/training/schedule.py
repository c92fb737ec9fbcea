"""What a user says of weights, to the weights of packed domains over the run.

Accepted: "uniform", "natural" (shares of the packed tokens), a weights file, or a schedule: a JSON file
{"schedule": [{"step": 0, "weights": W}, {"step": 1000, "weights": W, "over": 200}, ...]} in which W
is one of these or an object from domain to share, and `over` is the number of steps in which the
weights before go over into these.

Shapes: k domains.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon.common.errors import InputError
from chameleon.common.files import local_path
from chameleon.training.mixture import MOST_ROWS
from chameleon.training.options import TrainingOptions
from chameleon.weights.domain_weights import DomainWeights

_KEYS = {"step", "weights", "over"}


class ScheduledWeights(NamedTuple):
    """From `step` on, (k,) weights, into which those before go over in `over` steps."""

    step: int
    over: int
    weights: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Domains:
    """The domains that weights are for.

    Attributes:
        names: They.
        tokens: (k,) int64 that each has to train on.
        corpus: What they are from, as the user named it.
        renamed: Their names by those that weights files give them, where they differ.
    """

    names: Sequence[str]
    tokens: npt.NDArray[np.int64]
    corpus: str
    renamed: Mapping[str, str]


def schedule_of(options: TrainingOptions, tokens: Mapping[str, int]) -> list[ScheduledWeights]:
    """The weights over the run.

    Args:
        options: What is asked for.
        tokens: What each domain has to train on; before that is known, any numbers serve to check the
            weights that a user names.

    Raises:
        InputError: They are not of these domains, or there is nothing to train on.
    """
    numbers = np.array(list(tokens.values()), dtype=np.int64)
    if not numbers.sum():
        raise InputError(f"{options.dataset} has no text to train on but what is held out")
    return read_weights(
        options.weights, Domains(list(tokens), numbers, options.dataset, options.rename or {})
    )


def read_weights(given: str, domains: Domains) -> list[ScheduledWeights]:
    """The schedule that is asked for; weights that do not change are a schedule of one point.

    Raises:
        InputError: There is no such file, it holds no weights or schedule, or they are not of these domains.
    """
    if given in ("uniform", "natural"):
        return [ScheduledWeights(0, 0, _named(given, domains))]
    path = local_path(given)
    content = _json(path)
    if isinstance(content, dict) and "schedule" in content:
        return _schedule(content["schedule"], path, domains)
    return [ScheduledWeights(0, 0, _matched(_of_file(path), str(path), domains))]


def _named(given: str, domains: Domains) -> npt.NDArray[np.float64]:
    if given == "uniform":
        return np.full(len(domains.names), 1 / len(domains.names))
    shares: npt.NDArray[np.float64] = domains.tokens / domains.tokens.sum()
    return shares


def _json(path: Path) -> Any:  # noqa: ANN401
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot read the weights {path}: {error.strerror}; expected uniform, natural or a weights file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a weights file: {error}") from None


def _of_file(path: Path) -> dict[str, float]:
    """The weights of a weights file; one that is nothing but an object from domain to number is one too."""
    content = _json(path)
    if isinstance(content, dict) and content and all(_is_number(value) for value in content.values()):
        return dict(content)
    return DomainWeights.read(path).by_name()


def _matched(weights: Mapping[str, float], place: str, domains: Domains) -> npt.NDArray[np.float64]:
    """Weights in the order of the domains, each of which must be named, and no other."""
    renamed: dict[str, float] = {}
    for name, weight in weights.items():
        new = domains.renamed.get(name, name)
        if new in renamed:
            raise InputError(f"{place}: two weights are for {new} (--rename)")
        renamed[new] = weight
    if unknown := sorted(domains.renamed.keys() - weights.keys()):
        raise InputError(f"--rename names {unknown[0]}, but {place} has {', '.join(weights)}")
    if set(renamed) != set(domains.names):
        raise InputError(
            f"{place} has weights for {', '.join(renamed)}, but {domains.corpus} has the domains "
            f"{', '.join(domains.names)}; expected the same names: map them by --rename THEIRS=OURS,... or "
            "pick domains by --domains"
        )
    for name, weight in renamed.items():
        if not 0 <= weight <= 1:
            raise InputError(f"{place}: the weight of {name} is {weight!r:.40}; expected a share from 0 to 1")
    shares: npt.NDArray[np.float64] = np.array([renamed[name] for name in domains.names], dtype=np.float64)
    if abs(shares.sum() - 1) > 1e-6:
        raise InputError(f"{place}: weights must be shares that sum to 1, these sum to {shares.sum():.9g}")
    shares /= shares.sum()
    return shares


def _schedule(entries: Any, path: Path, domains: Domains) -> list[ScheduledWeights]:  # noqa: ANN401
    if not isinstance(entries, list) or not entries:
        raise InputError(f'{path}: expected a list of objects in "schedule"')
    points: list[ScheduledWeights] = []
    for number, entry in enumerate(entries, 1):
        place = f"{path}, entry {number} of the schedule"
        if not isinstance(entry, dict) or not {"step", "weights"} <= entry.keys() <= _KEYS:
            raise InputError(f"{place}: expected an object with step, weights and, if need be, over")
        step, over = entry["step"], entry.get("over", 0)
        if not all(
            isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in (step, over)
        ):
            raise InputError(f"{place}: expected whole numbers of steps, got step {step!r} and over {over!r}")
        if step + over > MOST_ROWS:
            raise InputError(f"{place}: step {step!r:.40} is beyond any run")
        if not points and (step, over) != (0, 0):
            raise InputError(f"{place}: the first begins at step 0, and goes over from nothing")
        if points and step < points[-1].step + max(points[-1].over, 1):
            raise InputError(
                f"{place}: step {step} is not after the one before, which ends at step "
                f"{points[-1].step + points[-1].over}"
            )
        points.append(ScheduledWeights(step, over, _of_entry(entry["weights"], path, place, domains)))
    return points


def _of_entry(weights: Any, path: Path, place: str, domains: Domains) -> npt.NDArray[np.float64]:  # noqa: ANN401
    if weights in ("uniform", "natural"):
        return _named(weights, domains)
    if isinstance(weights, str):
        other = path.parent / local_path(weights)
        return _matched(_of_file(other), str(other), domains)
    if isinstance(weights, dict) and all(_is_number(value) for value in weights.values()):
        return _matched(weights, place, domains)
    raise InputError(f"{place}: expected uniform, natural, a weights file or an object from domain to share")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
