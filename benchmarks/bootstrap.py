"""Cost of standard errors: time of the bootstrap against a run on stored embeddings, and memory.

- 7 domains of 2048 windows of width 768: time that the bootstrap adds to weights from embeddings in memory,
  against the rest of the command on stored embeddings (process start to exit).
- 1,000 domains of 256 windows: time, and peak memory of the process, embeddings included.
"""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.machine import ROOT, SCRIPT, Figure, Report, command_line, medians, positive_int, publish
from benchmarks.skip_embedding import store_embeddings
from chameleon.confidence.verdict import assess
from chameleon.weights.compute import solve
from chameleon.weights.formula import Formula, Solution
from chameleon.weights.sample import Sample

WIDTH = 768


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--repeats", type=positive_int, default=5, help="repeats with 7 domains (default: 5)")
    parser.add_argument(
        "--many", type=int, metavar="K", help="run the bootstrap of K domains in this process only"
    )
    arguments = parser.parse_args(argv)
    if arguments.many:
        seconds = _seconds(partial(_assess, _samples(arguments.many, 256)))
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return 0
    samples = _samples(7, 2048)
    with tempfile.TemporaryDirectory() as name:
        store_embeddings(Path(name) / "embeddings")
        command = [sys.executable, str(SCRIPT), "--skip_embedding_generation"]
        run = partial(subprocess.run, command, cwd=name, check=True, capture_output=True)
        rows = [_repeat(samples, run) for _ in range(arguments.repeats)]
    bootstrap, whole_run = medians(rows)
    share = median(each / (both - each) for each, both in rows)
    many = subprocess.run(
        [sys.executable, "-m", "benchmarks.bootstrap", "--many", "1000"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds, kilobytes = map(float, many.stdout.split())
    figures = (
        Figure("7 domains: the bootstrap", bootstrap, "s", at_most=1),
        Figure("7 domains: the whole command", whole_run, "s"),
        Figure("7 domains: bootstrap / the rest of the command", 100 * share, "%", at_most=10),
        Figure("1,000 domains: the bootstrap", seconds, "s", at_most=60),
        Figure("1,000 domains: peak memory", kilobytes / 2**20, "GiB", at_most=1),
    )
    conditions = {"replicates": "1000, of 1,000 domains 200", "width": WIDTH, "repeats": arguments.repeats}
    baseline = "the command on stored embeddings without it"
    return publish(Report("bootstrap", baseline, conditions, figures), arguments.output)


def _samples(k: int, n: int) -> list[Sample]:
    generator = np.random.default_rng(0)
    samples = []
    for i in range(k):
        rows = generator.standard_normal((n, WIDTH), dtype=np.float32)
        rows += 2 * generator.standard_normal(WIDTH, dtype=np.float32)
        samples.append(Sample.of(str(i), rows))
    return samples


def _repeat(samples: list[Sample], run: Callable[[], object]) -> tuple[float, float]:
    """Seconds that the bootstrap adds, and of the whole command."""
    return _seconds(partial(_assess, samples)) - _seconds(partial(_solve, samples)), _seconds(run)


def _solve(samples: list[Sample]) -> tuple[list[Sample], Formula, Solution]:
    formula = Formula.of(len(samples))
    fresh = [Sample.of(sample.name, sample.rows) for sample in samples]
    return fresh, formula, solve(fresh, formula)


def _assess(samples: list[Sample]) -> None:
    fresh, formula, solution = _solve(samples)
    assess(fresh, {sample.name: 1 << 40 for sample in fresh}, formula, solution, 1.0)


def _seconds(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
