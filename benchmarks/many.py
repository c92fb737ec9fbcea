"""Scores of many domains: 100,000 with the linear kernel, and a million approximately with the RBF kernel.

Seconds and memory, each in a process of its own. The baseline of the linear kernel is the matrix of all
pairs, at as many domains as it can do. The means of the million lie on disk in float32, written beforehand:
groups of domains, which lie further apart than domains of one group. Memory is the peak less what is in use
at the start, pages of the file included (Linux only).
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from benchmarks.machine import Figure, Report, command_line, peak, positive_int, publish, reset_peak
from benchmarks.range_server import run_in_process
from chameleon.weights.affinity import linear_affinity
from chameleon.weights.leverage import leverage_scores
from chameleon.weights.many_domains.exact import linear_scores
from chameleon.weights.many_domains.fourier import approximate_scores

WIDTH, GROUPS, BLOCK = 768, 300, 10_000
RBF_LAMBDA, LINEAR_LAMBDA = 1e-2, 1e-2


class Cost(NamedTuple):
    """Seconds, peak memory over that at the start in bytes, the sum of scores, and errors of the scores."""

    seconds: float
    memory: float
    total: float
    facts: dict[str, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--domains", type=positive_int, default=8000, help="domains of the baseline (default: 8000)"
    )
    parser.add_argument(
        "--linear",
        type=positive_int,
        default=100_000,
        help="domains with the linear kernel (default: 100000)",
    )
    parser.add_argument(
        "--rbf", type=positive_int, default=1_000_000, help="domains with the RBF kernel (default: 1000000)"
    )
    arguments = parser.parse_args(argv)
    plain = run_in_process(_plain, arguments.domains)
    same = run_in_process(_linear, arguments.domains)
    linear = run_in_process(_linear, arguments.linear)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "means"
        run_in_process(_write_means, arguments.rbf, path)
        rbf = run_in_process(_rbf, arguments.rbf, path)
    facts = rbf.facts
    few, many = f"{arguments.domains:,} domains, linear", f"{arguments.rbf:,} domains, rbf"
    figures = (
        Figure(f"{few}: all pairs, baseline", plain.seconds, "s"),
        Figure(f"{few}: scores", same.seconds, "s"),
        Figure("baseline / scores", plain.seconds / same.seconds, "times", at_least=10),
        Figure("difference of the sums", abs(same.total / plain.total - 1), "relative", at_most=1e-10),
        Figure(f"{arguments.linear:,} domains, linear: scores", linear.seconds, "s", at_most=10),
        Figure(f"{arguments.linear:,} domains, linear: memory", linear.memory / 2**30, "GiB"),
        Figure(f"{many}: scores", rbf.seconds, "s", at_most=300),
        Figure(f"{many}: peak memory", rbf.memory / 2**30, "GiB", at_most=4),
        Figure(f"{many}: features", facts["features"]),
        Figure(f"{many}: effective dimension", facts["effective_dimension"]),
        Figure("median relative error", facts["median_relative_error"], at_most=0.05),
        Figure("95 of 100 relative errors", facts["relative_error_95"]),
        Figure("rank correlation", facts["rank_correlation"], at_least=0.99),
    )
    conditions = {
        "width": WIDTH,
        "lambda": RBF_LAMBDA,
        "groups": GROUPS,
        "errors on": facts["checked_on"],
    }
    baseline = "linear kernel by the matrix of all pairs"
    return publish(Report("many", baseline, conditions, figures), arguments.output)


def _plain(k: int) -> Cost:
    return _cost(_means(k), lambda means: (leverage_scores(linear_affinity(means), LINEAR_LAMBDA), {}))


def _linear(k: int) -> Cost:
    return _cost(_means(k), lambda means: (linear_scores(means, LINEAR_LAMBDA).scores, {}))


def _rbf(k: int, path: Path) -> Cost:
    means = np.memmap(path, dtype=np.float32, mode="r", shape=(k, WIDTH))

    def work(means: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
        approximation = approximate_scores(means, RBF_LAMBDA, None, None, None)
        return approximation.scores.scores, dict(approximation.facts)

    return _cost(means, work)


def _cost(means: np.ndarray, work: Callable[[np.ndarray], tuple[np.ndarray, dict[str, float]]]) -> Cost:
    linear_scores(np.eye(300, 8), 1.0)  # loads libraries
    before, begin = reset_peak(), perf_counter()
    scores, facts = work(means)
    return Cost(perf_counter() - begin, peak() - before, float(scores.sum()), facts)


def _write_means(k: int, path: Path) -> None:
    means = np.memmap(path, dtype=np.float32, mode="w+", shape=(k, WIDTH))
    centres = _centres()
    for begin in range(0, k, BLOCK):
        means[begin : begin + BLOCK] = _block(centres, begin, min(BLOCK, k - begin))
    means.flush()


def _means(k: int) -> np.ndarray:
    centres = _centres()
    return np.concatenate([_block(centres, begin, min(BLOCK, k - begin)) for begin in range(0, k, BLOCK)])


def _centres() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((GROUPS, WIDTH))


def _block(centres: np.ndarray, begin: int, count: int) -> np.ndarray:
    """Means of some domains, in groups of very different sizes, some far from the centre of theirs."""
    generator = np.random.default_rng([1, begin])
    groups = (len(centres) * generator.random(count) ** 2).astype(np.int64)
    within = generator.uniform(0.1, 0.6, size=(count, 1))
    return np.asarray(centres[groups] + within * generator.standard_normal((count, WIDTH)))


if __name__ == "__main__":
    sys.exit(main())
