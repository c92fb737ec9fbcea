"""Affinities of the domains by a proxy, and CHAMELEON's pretrain weights, which are one of the runs.

What the text of one domain counts for the loss on another is guessed from them where tokens are not available
(see `overlap`).

Shapes: k domains.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.embeddings.options import WorkerOptions
from chameleon.methods.options import MethodOptions
from chameleon.pipeline.options import Options
from chameleon.pipeline.run import run
from chameleon.text.options import ReadingOptions
from chameleon.weights.affinity import rbf_affinity
from chameleon.weights.compute import solve
from chameleon.weights.formula import Formula
from chameleon.weights.options import FormulaSettings
from chameleon.weights.sample import Sample

# The domain that stands for the text of --target among the embeddings.
_TARGET = "target of the law"

# What text of a domain is likely to count by its affinity K: this many times the fourth power of K.
_DISCOUNT, _POWER = 0.3, 4.0

# A target further from every domain than this many typical distances between domains resembles none.
_FAR = 2.0


@dataclass(frozen=True, eq=False)
class Affinities:
    """What a proxy says of the domains.

    Attributes:
        domains: (k, k) what each domain's text is likely to count for another, from 0 to 1.
        target: (k,) the same for the target's text; None without a target.
        pretrain: (k,) CHAMELEON's pretrain weights.
    """

    domains: Array
    target: Array | None
    pretrain: Array


def affinities_of(
    names: tuple[str, ...], proxy: str, embeddings_dir: Path, options: MethodOptions
) -> Affinities:
    """Embed the domains, and the target if there is one, with a proxy.

    Args:
        names: (k,) domains in order.
        proxy: Directory or hub id of the proxy.
        embeddings_dir: Where embeddings are stored.
        options: The corpus, the target, and which workers embed.

    Raises:
        InputError: The corpus or the target cannot be embedded, has other domains, or the target resembles no
            domain.
    """
    training, target = options.training, options.target
    shared = {each.name: getattr(training, each.name) for each in fields(ReadingOptions)}
    shared |= {each.name: getattr(options, each.name) for each in fields(WorkerOptions)}
    embedded = run(
        Options(
            **{**shared, "domains": names if target is None else (*names, _TARGET)},
            dataset=training.dataset,
            checkpoint_path=proxy,
            embeddings_dir=embeddings_dir,
            sample_length=training.sample_length,
            device=training.device,
            dtype=training.dtype,
            add_domains=None if target is None else {_TARGET: str(target.absolute())},
        ),
    )
    by_name = {sample.name: sample for sample in embedded.scored.samples}
    if missing := [name for name in names if name not in by_name]:
        raise InputError(
            f"the runs have the domain {missing[0]}, but {training.dataset} has "
            f"{listed(tuple(by_name), 20)}; give runs of the domains of --dataset"
        )
    samples = [by_name[name] for name in names]
    solution = solve(samples, Formula.of(len(samples), FormulaSettings(mode="pretrain")))
    assert solution.sigma is not None
    means = np.stack([sample.mean for sample in samples])
    of_target = None if target is None else _to_target(by_name[_TARGET], samples, solution.sigma, target)
    likely = _DISCOUNT * rbf_affinity(means, solution.sigma) ** _POWER
    return Affinities(likely, of_target, solution.weights)


def _to_target(target: Sample, samples: list[Sample], sigma: float, path: Path) -> Array:
    """(k,) what the text of domains is likely to count for a target, by the domains' kernel."""
    squared = np.array([np.square(target.mean - sample.mean).sum() for sample in samples])
    nearest = int(squared.argmin())
    distance = float(np.sqrt(squared[nearest])) / sigma
    if distance > _FAR:
        raise InputError(
            f"the text of {path} (--target) resembles no domain: the nearest, {samples[nearest].name}, is "
            f"{distance:.1f} times as far from it as domains are from each other (at most {_FAR:g} can be "
            "used); add a domain that is like it"
        )
    return np.asarray(np.exp(-squared / (2 * sigma * sigma)) ** _POWER)
