"""Peak memory of embedding equally many windows of a large and of a small corpus.

The real command with a small stand-in as its proxy, on two corpora of the same documents, repeated and
shuffled. The baseline is the small corpus: memory must not grow with the size of the corpus.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from benchmarks.machine import SCRIPT, Figure, Report, command_line, medians, positive_int, publish, texts_of


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--small", type=positive_int, default=50, help="MB of the small corpus (default: 50)")
    parser.add_argument(
        "--large", type=positive_int, default=800, help="MB of the large corpus (default: 800)"
    )
    parser.add_argument("--num_samples", type=positive_int, default=32, help="windows a domain (default: 32)")
    parser.add_argument("--repeats", type=positive_int, default=3, help="repeats (default: 3)")
    arguments = parser.parse_args(argv)
    # Exit normally when terminated, so that the child and a gigabyte of text are removed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        checkpoint = trained_standin(directory, arguments.dataset)
        sizes = {"small": arguments.small, "large": arguments.large}
        flags = ["--checkpoint_path", str(checkpoint), "--num_samples", str(arguments.num_samples)]
        for corpus, megabytes in sizes.items():
            _write_corpus(arguments.dataset, directory / corpus, megabytes * 10**6)
        rows = [
            [
                figure
                for corpus in sizes
                for figure in peak_and_seconds(
                    directory, str(directory / corpus), *flags, "--embeddings_dir", f"{corpus}{i}"
                )
            ]
            for i in range(arguments.repeats)
        ]
    small, small_seconds, large, large_seconds = medians(rows)
    figures = (
        Figure(f"peak, corpus of {arguments.small} MB", small / 1e6, "MB"),
        Figure(f"peak, corpus of {arguments.large} MB", large / 1e6, "MB"),
        Figure("large / small", large / small, "times", at_most=1.1),
        Figure(f"time, corpus of {arguments.small} MB", small_seconds, "s"),
        Figure(f"time, corpus of {arguments.large} MB", large_seconds, "s"),
    )
    conditions = {"windows a domain": arguments.num_samples, "proxy": "small stand-in"}
    conditions |= {"repeats": arguments.repeats}
    return publish(Report("memory", "the small corpus", conditions, figures), arguments.output)


def _write_corpus(dataset: str, directory: Path, num_bytes: int) -> None:
    """Domains of equal size, each of its documents repeated, in another order each time."""
    directory.mkdir()
    domains = texts_of(dataset)
    shuffler = random.Random(0)
    for name, texts in domains.items():
        lines = [json.dumps({"text": text}) + "\n" for text in texts]
        written, begin = 0, 0
        with (directory / f"{name}.jsonl").open("w") as file:
            while written < num_bytes // len(domains):
                if begin == 0:
                    shuffler.shuffle(lines)
                written += file.write(lines[begin])
                begin = (begin + 1) % len(lines)


def trained_standin(directory: Path, dataset: str) -> Path:
    """Checkpoint of the small proxy that the command trains in a directory without checkpoints."""
    peak_and_seconds(directory, dataset, "--num_samples", "1")
    return next((directory / "checkpoints").glob("standin-*"))


def peak_and_seconds(directory: Path, dataset: str, *flags: str) -> tuple[float, float]:
    """Peak resident memory in bytes of the command on a corpus, and its seconds."""
    path = Path(dataset)
    dataset = str(path.resolve()) if path.is_dir() else dataset
    command = [sys.executable, str(SCRIPT), "--dataset", dataset, "--device", "cpu", *flags]
    begin = perf_counter()
    process = subprocess.Popen(
        command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        messages = process.stderr.read()
        # A child counts its parent's memory at the fork as its own, so this process loads no torch before.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        process.stderr.close()
        if process.returncode is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise SystemExit(f"the command failed: {messages}")
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return float(usage.ru_maxrss * kilobyte), perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
