"""Exact scores of many domains: time and memory against a plain inverse, and from means to scores.

The baseline inverts K + mu I and takes the diagonal of K times the inverse. Ours gets the same affinity
matrix, which it may overwrite. Each runs in a process of its own; memory is the peak less what is in use at
the start (Linux only). Then affinity, width and scores together, for more domains than the baseline can do.
"""

import sys
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np

from benchmarks.machine import Figure, Report, command_line, medians, peak, positive_int, publish, reset_peak
from benchmarks.range_server import run_in_process
from chameleon.weights.affinity import rbf_affinity
from chameleon.weights.leverage import leverage_scores

WIDTH, RIDGE = 768, 0.5


class Cost(NamedTuple):
    """Seconds, peak memory over that at the start in bytes, and the sum of scores."""

    seconds: float
    memory: float
    total: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--domains", type=positive_int, default=8000, help="domains of the baseline (default: 8000)"
    )
    parser.add_argument(
        "--many",
        type=positive_int,
        nargs="+",
        default=[20_000, 30_000],
        help="domains from means to scores (default: 20000 30000)",
    )
    parser.add_argument(
        "--repeats", type=positive_int, default=3, help="repeats of the comparison (default: 3)"
    )
    arguments = parser.parse_args(argv)
    k = arguments.domains
    rows = [(*run_in_process(_plain, k), *run_in_process(_ours, k)) for _ in range(arguments.repeats)]
    plain, plain_memory, plain_total, ours, memory, total = medians(rows)
    size = k * k * 8
    figures = [
        Figure(f"{k:,} domains: plain way, baseline", plain, "s"),
        Figure(f"{k:,} domains: scores", ours, "s"),
        Figure("baseline / scores", plain / ours, "times", at_least=6),
        Figure("memory beside K: baseline", plain_memory / size, "of K"),
        Figure("memory beside K", memory / size, "of K", at_most=0.1),
        Figure("difference of the sums of scores", abs(total / plain_total - 1), "relative", at_most=1e-10),
    ]
    for many in arguments.many:
        all_of_it = run_in_process(_whole, many)
        figures += [
            Figure(f"{many:,} domains: means to scores", all_of_it.seconds, "s"),
            Figure(f"{many:,} domains: peak memory", all_of_it.memory / many**2 / 8, "of K"),
            Figure(f"{many:,} domains: peak memory in bytes", all_of_it.memory / 2**30, "GiB", at_most=24),
        ]
    conditions = {
        "kernel": "rbf, median width",
        "width": WIDTH,
        "k lambda": RIDGE,
        "repeats": arguments.repeats,
    }
    baseline = "inv(K + mu I), then K @ inverse"
    return publish(Report("exact", baseline, conditions, tuple(figures)), arguments.output)


def _plain(k: int) -> Cost:
    affinity = rbf_affinity(grouped_means(k))
    _warm_up()
    before, begin = reset_peak(), perf_counter()
    inverse = np.linalg.inv(affinity + RIDGE * np.eye(k))
    total = float(np.diag(affinity @ inverse).sum())
    return Cost(perf_counter() - begin, peak() - before, total)


def _ours(k: int) -> Cost:
    affinity = rbf_affinity(grouped_means(k))
    _warm_up()
    before, begin = reset_peak(), perf_counter()
    total = float(leverage_scores(affinity, RIDGE / k, overwrite=True).sum())
    return Cost(perf_counter() - begin, peak() - before, total)


def _whole(k: int) -> Cost:
    means = grouped_means(k)
    _warm_up()
    before, begin = reset_peak(), perf_counter()
    total = float(leverage_scores(rbf_affinity(means), RIDGE / k, overwrite=True).sum())
    return Cost(perf_counter() - begin, peak() - before, total)


def grouped_means(k: int) -> np.ndarray:
    """(k, d) means of domains in a few hundred groups, which lie further apart than domains of one group."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((max(2, k // 50), WIDTH))
    return centres[generator.integers(len(centres), size=k)] + 0.5 * generator.standard_normal((k, WIDTH))


def _warm_up() -> None:
    small = rbf_affinity(np.random.default_rng(1).standard_normal((300, 8)))
    leverage_scores(small, 1.0)
    np.linalg.inv(small + np.eye(300)) @ small


if __name__ == "__main__":
    sys.exit(main())
