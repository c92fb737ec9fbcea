"""Windows that rounds draw, coverage of the standard errors, and the effect of sampling noise.

All windows of the corpus are embedded once with a GPT-2 of 82M parameters (random weights) by the real
command; their weights are the truth. Then, with the windows of each domain in one random order after
another,

- rounds are drawn up to the target, and the weights compared with the truth;
- weights from n windows of each domain are compared with the truth, with distances corrected for noise and
  without; also where one half of the domains has eight times the windows of the other.

`--embeddings_dir` saves the embeddings, which take a quarter of an hour on two cores.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.embedding import random_checkpoint
from benchmarks.machine import Figure, Report, command_line, positive_int, publish
from chameleon.confidence.stopping import FIRST_WINDOWS, MOST_WINDOWS
from chameleon.confidence.verdict import assess
from chameleon.embeddings.store import DomainEmbeddings
from chameleon.pipeline.options import DEFAULT_TARGET_SE, Options
from chameleon.pipeline.run import run
from chameleon.pipeline.score import windows_wanted
from chameleon.weights.compute import solve
from chameleon.weights.formula import Formula
from chameleon.weights.sample import Sample

COUNTS = (16, 32, 64, 128, 256, 512)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--embeddings_dir", type=Path, help="directory to save embeddings in (default: none)")
    parser.add_argument(
        "--sample_length", type=positive_int, default=512, help="tokens of a window (default: 512)"
    )
    parser.add_argument("--seeds", type=positive_int, default=100, help="random orders (default: 100)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        directory = arguments.embeddings_dir or Path(name)
        checkpoint = directory / "proxy"
        if not checkpoint.exists():
            random_checkpoint(arguments.dataset, checkpoint)
        options = Options(
            dataset=arguments.dataset,
            checkpoint_path=str(checkpoint),
            embeddings_dir=directory,
            num_samples=MOST_WINDOWS,
            sample_length=arguments.sample_length,
            dtype="float32",
        )
        stored = run(options).embedded.domains
    figures = [*_of_rounds(stored, arguments.seeds), *_of_noise(stored, arguments.seeds)]
    conditions = {
        "windows in all": sum(map(len, stored.values())),
        "of a domain": f"{min(map(len, stored.values()))} to {max(map(len, stored.values()))}",
        "tokens of a window": arguments.sample_length,
        "target": DEFAULT_TARGET_SE,
        "seeds": arguments.seeds,
    }
    baseline = f"{MOST_WINDOWS} windows of each domain, or all that it has"
    return publish(Report("rounds", baseline, conditions, tuple(figures)), arguments.output)


def _of_rounds(stored: Mapping[str, DomainEmbeddings], seeds: int) -> Iterator[Figure]:
    k = len(stored)
    formula, available = Formula.of(k), {name: len(rows) for name, rows in stored.items()}
    truth = solve(_samples(stored, None, available), formula).weights
    drawn, within = [], []
    for seed in range(seeds):
        order = _order(stored, seed)
        counts: Mapping[str, int] = {name: min(FIRST_WINDOWS, number) for name, number in available.items()}
        while True:
            samples = _samples(stored, order, counts)
            wanted = windows_wanted(samples, available, Options())
            if not wanted:
                break
            counts = wanted
        solution = solve(samples, formula)
        confidence = assess(samples, available, formula, solution, DEFAULT_TARGET_SE)
        assert confidence is not None
        drawn.append(sum(counts.values()))
        within.append(np.abs(solution.weights - truth) <= 2 * confidence.weights.errors)
    yield Figure("windows drawn, mean", float(np.mean(drawn)))
    yield Figure(
        f"{MOST_WINDOWS} a domain / drawn", MOST_WINDOWS * k / float(np.mean(drawn)), "times", at_least=8
    )
    yield Figure("all there are / drawn", sum(available.values()) / float(np.mean(drawn)), "times")
    yield Figure("weights within two standard errors", 100 * float(np.mean(within)), "%", at_least=95)
    yield Figure("seeds with all weights within", 100 * float(np.all(within, axis=1).mean()), "%")


def _of_noise(stored: Mapping[str, DomainEmbeddings], seeds: int) -> Iterator[Figure]:
    """Root mean square error and mean bias of weights, in thousandths of all tokens."""
    corrected = Formula.of(len(stored))
    formulas = {"taken off": corrected, "left in": replace(corrected, takes_noise_off=False)}
    every = {name: len(rows) for name, rows in stored.items()}
    plans = {f"n = {n}": dict.fromkeys(stored, n) for n in COUNTS}
    plans["n = 32, 256 in turn"] = {name: (32, 256)[i % 2] for i, name in enumerate(stored)}
    for title, plan in plans.items():
        counts = {name: min(number, every[name] // 2) for name, number in plan.items()}
        for label, formula in formulas.items():
            truth = solve(_samples(stored, None, every), formula).weights
            errors = np.array([
                solve(_samples(stored, _order(stored, seed), counts), formula).weights - truth
                for seed in range(seeds)
            ])  # fmt: skip
            rms, bias = np.sqrt(np.square(errors).mean()), np.abs(errors.mean(axis=0)).mean()
            yield Figure(f"{title}, noise {label}: error", 1000 * float(rms), "/1000")
            yield Figure(f"{title}, noise {label}: bias", 1000 * float(bias), "/1000")


def _order(stored: Mapping[str, DomainEmbeddings], seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: generator.permutation(len(rows)) for name, rows in stored.items()}


def _samples(
    stored: Mapping[str, DomainEmbeddings], order: Mapping[str, np.ndarray] | None, counts: Mapping[str, int]
) -> list[Sample]:
    samples = []
    for name, rows in stored.items():
        taken = slice(None) if order is None else order[name][: counts[name]]
        samples.append(Sample.of(name, rows.embeddings[taken], rows.documents[taken], len(rows)))
    return samples


if __name__ == "__main__":
    sys.exit(main())
