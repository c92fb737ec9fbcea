"""Simulated domains: centres at random, and samples of windows about them."""

from collections.abc import Sequence

import numpy as np

from chameleon.common.arrays import Array
from chameleon.confidence.delta_method import variances_by_domain
from chameleon.weights.compute import solve
from chameleon.weights.formula import Formula
from chameleon.weights.options import Kernel, Mode
from chameleon.weights.sample import Sample

KERNELS: list[tuple[Kernel, float | None]] = [("rbf", None), ("linear", 0.5)]
MODES: tuple[Mode, ...] = ("pretrain", "finetune")
ENDLESS = 1 << 40


def centres_of(seed: int, k: int = 7, d: int = 48) -> Array:
    return np.asarray(np.random.default_rng(seed).normal(size=(k, d)) * 4 / np.sqrt(d))


def samples_from(
    centres: Array, n: int | Sequence[int], generator: np.random.Generator, available: int | None = None
) -> list[Sample]:
    """Windows about each centre, their covariance falling off over the dimensions."""
    scales = np.exp(-np.arange(centres.shape[1]) / 8)
    scales *= 4 / np.sqrt(np.square(scales).sum())
    counts = [n] * len(centres) if isinstance(n, int) else n
    return [
        Sample.of(
            f"domain {i}",
            (centre + generator.normal(size=(count, len(centre))) * scales).astype("f"),
            None,
            available,
        )
        for i, (centre, count) in enumerate(zip(centres, counts, strict=True))
    ]


def error_of(samples: list[Sample], formula: Formula) -> float:
    return float(np.sqrt(variances_by_domain(samples, formula, solve(samples, formula)).sum(axis=1).max()))
