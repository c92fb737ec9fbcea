"""The whole command on very many small domains, such as clusters of a corpus: time, memory and files.

The corpus is one Parquet table sorted by label, each domain a few lines of text. The proxy is a small
stand-in and each domain has one window, so that the cost of a domain besides its windows shows. The
baseline is a tenth as many domains: the cost of a domain must not grow with their number.
"""

import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import Figure, Report, command_line, positive_int, publish, texts_of
from benchmarks.memory import peak_and_seconds, trained_standin

_LINES, _LONGEST, _ROWS_AT_ONCE = 3, 400, 100_000
_FEWEST = 10


class Cost(NamedTuple):
    """Seconds of the command, and on stored embeddings; peak memory in bytes; files and bytes stored."""

    seconds: float
    rescoring: float
    memory: float
    files: int
    stored: int


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--domains", type=positive_int, default=100_000, help="number of domains (default: 100000)"
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        checkpoint = trained_standin(directory, arguments.dataset)
        lines = [
            line for texts in texts_of(arguments.dataset).values() for text in texts for line in _of(text)
        ]
        sizes = _FEWEST, max(_FEWEST, arguments.domains // 10), arguments.domains
        fewest, few, many = (_cost(directory, checkpoint, lines, number) for number in sizes)
    start = fewest.seconds - fewest.rescoring  # loading libraries and the proxy
    compared = dict(zip(sizes[1:], (few, many), strict=True))
    each = [1e3 * (cost.seconds - cost.rescoring - start) / number for number, cost in compared.items()]
    figures = []
    for (number, cost), embedding in zip(compared.items(), each, strict=True):
        figures += [
            Figure(f"{number:,} domains: whole command", cost.seconds, "s"),
            Figure(f"{number:,} domains: embedding", embedding, "ms a domain"),
            Figure(f"{number:,} domains: on stored embeddings", cost.rescoring, "s"),
            Figure(f"{number:,} domains: peak memory", cost.memory / 2**30, "GiB"),
            Figure(f"{number:,} domains: files", cost.files),
            Figure(f"{number:,} domains: stored", cost.stored / number / 1e3, "kB a domain"),
        ]
    ratio = each[-1] / each[0]
    figures.append(Figure("embedding a domain: many / a tenth, baseline", ratio, "times", at_most=1.5))
    conditions = {"proxy": "small stand-in", "windows a domain": 1, "tokens a window": 32, "lambda": 1e-2}
    return publish(Report("clusters", "a tenth of the domains", conditions, tuple(figures)), arguments.output)


def _of(text: str) -> list[str]:
    return [line[:_LONGEST] for line in text.splitlines() if len(line) > 40]


def _cost(directory: Path, checkpoint: Path, lines: Sequence[str], number: int) -> Cost:
    corpus, embeddings = directory / f"{number}.parquet", directory / f"embeddings-{number}"
    _write_table(corpus, lines, number)
    flags = [
        "--checkpoint_path",
        str(checkpoint),
        "--embeddings_dir",
        str(embeddings),
        "--lambda_reg",
        "1e-2",
    ]
    windows = ["--domain_column", "label", "--num_samples", "1", "--sample_length", "32"]
    memory, seconds = peak_and_seconds(directory, str(corpus), *flags, *windows)
    again, rescoring = peak_and_seconds(
        directory, str(corpus), *flags, "--domain_column", "label", "--skip_embedding_generation"
    )
    files = [path for path in embeddings.iterdir() if path.is_file()]
    cost = Cost(
        seconds, rescoring, max(memory, again), len(files), sum(path.stat().st_size for path in files)
    )
    shutil.rmtree(embeddings)
    corpus.unlink()
    return cost


def _write_table(path: Path, lines: Sequence[str], number: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    chance = random.Random(0)
    schema = pa.schema([("text", pa.string()), ("label", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for begin in range(0, number, _ROWS_AT_ONCE):
            names = [f"cluster {each:07}" for each in range(begin, min(number, begin + _ROWS_AT_ONCE))]
            texts = ["\n".join(chance.choices(lines, k=_LINES)) for _ in names]
            writer.write_table(pa.table({"text": texts, "label": names}, schema))


if __name__ == "__main__":
    sys.exit(main())
