"""Weights from stored embeddings, process start to exit, against the same with torch imported first.

The real command with --skip_embedding_generation on 7 domains x 2048 windows x 768 numbers, stored by
`chameleon.embeddings.store`. The baseline is the same command in a process that first imports torch and
transformers, as a program does that imports them at its top.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.machine import SCRIPT, Figure, Report, command_line, medians, positive_int, publish
from chameleon.embeddings.store import (
    DomainEmbeddings,
    EmbeddingRecord,
    file_name,
    write_embeddings,
    write_record,
)

DOMAINS, WINDOWS, WIDTH, TOKENS = 7, 2048, 768, 512
_LOADED_FIRST = (
    "import runpy, sys, torch, transformers; del sys.argv[0]; runpy.run_path(sys.argv[0], None, '__main__')"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--repeats", type=positive_int, default=5, help="repeats (default: 5)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        store_embeddings(directory / "embeddings")
        script = [str(SCRIPT), "--mode", "pretrain", "--skip_embedding_generation"]
        script += [
            "--embeddings_dir",
            str(directory / "embeddings"),
            "--output",
            str(directory / "weights.json"),
        ]
        ours = [sys.executable, *script]
        baseline = [sys.executable, "-c", _LOADED_FIRST, *script]
        for command in (ours, baseline):
            _seconds(command)
        rows = [(_seconds(ours), _seconds(baseline)) for _ in range(arguments.repeats)]
    seconds, loaded_first = medians(rows)
    figures = (
        Figure("the command", seconds, "s", at_most=1.0),
        Figure("baseline", loaded_first, "s"),
        Figure("baseline / the command", loaded_first / seconds, "times"),
    )
    conditions = {"embeddings": f"{DOMAINS} x {WINDOWS} x {WIDTH}", "repeats": arguments.repeats}
    report = Report("skip_embedding", "torch and transformers imported first", conditions, figures)
    return publish(report, arguments.output)


def store_embeddings(directory: Path) -> None:
    """Store random embeddings of seven domains, as many as the method was published on."""
    generator = np.random.default_rng(0)
    files = {}
    for i in range(DOMAINS):
        domain, recipe = f"domain{i}", {"random": i}
        centre = generator.normal(size=WIDTH)
        numbers = np.arange(WINDOWS)
        stored = DomainEmbeddings(
            embeddings=(centre + generator.normal(size=(WINDOWS, WIDTH))).astype(np.float32),
            positions=numbers * TOKENS * 4,
            documents=numbers * TOKENS * 4,
            tokens=np.full(WINDOWS, TOKENS),
            available=4 * WINDOWS,
        )
        files[domain] = file_name(domain, recipe)
        write_embeddings(directory / files[domain], domain, recipe, stored)
    settings = {"dataset": "random", "checkpoint_path": "none", "seed": 0, "sample_length": TOKENS}
    record = EmbeddingRecord(
        dataset="random",
        settings=settings | {"dtype": "float32"},
        num_samples=WINDOWS,
        windows=dict.fromkeys(files, WINDOWS),
        files=files,
        facts={},
        provenance={"embeddings": "random numbers"},
        notices=(),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_record(directory, record)


def _seconds(command: Sequence[str]) -> float:
    begin = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
