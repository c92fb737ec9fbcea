"""What it takes to cut windows from a corpus: bytes sent by a server, seconds, and peak memory.

A corpus of SlimPajama-6B's schema and shares, smaller than the real one, made of a sample's documents
repeated and shuffled, is served over HTTP; a process of its own cuts windows of 512 tokens of each domain
(256 by default; a run that decides itself draws 64 to 2048; `--bytes_only` has the bytes of several numbers).
The baseline downloads all, filters rows by label and tokenises everything. Then JSON Lines, of which the
first window matters. Times begin when libraries and tokenizer are loaded.
"""

import argparse
import json
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.machine import Figure, Report, command_line, medians, positive_int, publish, texts_of
from benchmarks.range_server import Traffic, download, run_in_process, serve, traffic
from chameleon.text.corpora import CorpusRequest, open_corpus
from chameleon.text.corpora.corpus import SLIMPAJAMA_COLUMN, SLIMPAJAMA_NAMES
from chameleon.text.grid import WindowRecipe, lay_grid
from chameleon.text.windows import windows_from

if TYPE_CHECKING:
    import pyarrow as pa

# SlimPajama's shares of bytes in per cent; each other domain of a corpus gets their mean.
SHARES = {
    "cc": 54.1, "c4": 28.7, "github": 4.2, "book": 3.7, "arxiv": 3.4, "wikipedia": 3.1, "stackexchange": 2.8
}  # fmt: skip
FILES = 48
# Of a file of 290 MB, of 1000 rows each.
ROW_GROUPS = 115
LINES_BYTES = 2 * 10**9
LONGEST_DOCUMENT = 400_000
TOKENS, AT_ONCE = 512, 64
VOCABULARY = 1 << 15
BASELINE = (
    "all files over the same HTTP, rows filtered by label, all text tokenised with all cores; the last is "
    f"measured on 1 of {FILES} files, chosen by chance, and scaled by bytes of text"
)


class Reading(NamedTuple):
    """Cost of cutting all windows: seconds since the start, tokens cut per second, and bytes.

    `opening` are the bytes that the server had sent when the corpus was open.
    """

    opened: float
    first_window: float
    all_windows: float
    tokens_per_second: float
    peak: float
    opening: float
    sent: float
    requests: float


class Written(NamedTuple):
    """A corpus on disk."""

    num_bytes: int
    rows_per_group: int
    groups_per_file: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--gigabytes", type=float, default=2, help="size of the parquet files (default: 2)")
    parser.add_argument(
        "--rows_per_group",
        type=positive_int,
        help=f"(default: {ROW_GROUPS} row groups per file)",
    )
    parser.add_argument(
        "--num_samples",
        type=positive_int,
        nargs="+",
        default=[256],
        help="windows per domain (default: 256); for further numbers only bytes sent are measured",
    )
    parser.add_argument("--bytes_only", action="store_true", help="no baseline and no JSON Lines")
    parser.add_argument(
        "--repeats", type=positive_int, default=3, help="of all but the baseline (default: 3)"
    )
    arguments = parser.parse_args(argv)
    num_bytes = int(arguments.gigabytes * 1e9)
    # When terminated, end the children and delete gigabytes of text.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        checkpoint, mixed, lines = directory / "checkpoint", directory / "mixed", directory / "lines"
        run_in_process(_train_tokenizer, arguments.dataset, checkpoint)
        written = run_in_process(
            _write_parquet, arguments.dataset, mixed, num_bytes, arguments.rows_per_group
        )
        if not arguments.bytes_only:
            run_in_process(_write_lines, arguments.dataset, lines, min(num_bytes, LINES_BYTES))
        first, *further = arguments.num_samples
        with serve(mixed) as url:
            sent = [
                Figure(
                    f"HTTP: bytes sent for {number} windows",
                    run_in_process(_read, url, SLIMPAJAMA_COLUMN, checkpoint, directory, number).sent
                    * 100
                    / written.num_bytes,
                    "%",
                    at_most=3,
                )
                for number in (arguments.num_samples if arguments.bytes_only else further)
            ]
            if arguments.bytes_only:
                return publish(_report(arguments, written, sent), arguments.output)
            sources = ((url, SLIMPAJAMA_COLUMN), (str(mixed), SLIMPAJAMA_COLUMN), (str(lines), None))
            rows = [
                [run_in_process(_read, *source, checkpoint, directory, first) for source in sources]
                for _ in range(arguments.repeats)
            ]
            baseline = run_in_process(_read_all, url + "data/", checkpoint, directory)
    http, local, jsonl = (Reading(*medians(readings)) for readings in zip(*rows, strict=True))
    figures = [*_figures(http, local, jsonl, baseline, written), *sent]
    return publish(_report(arguments, written, figures), arguments.output)


def _report(arguments: argparse.Namespace, written: Written, figures: Sequence[Figure]) -> Report:
    conditions = {
        "parquet": f"{written.num_bytes / 1e9:.2f} GB in {FILES} files",
        "row groups": f"{written.groups_per_file:.0f} of {written.rows_per_group} rows a file (SlimPajama-6B "
        f"about {ROW_GROUPS} of 1000 in 290 MB; of less, footers and labels are a larger part)",
        "JSON Lines": f"{min(arguments.gigabytes * 1e9, LINES_BYTES) / 1e9:g} GB in each of 2 domains",
        "windows": f"{arguments.num_samples[0]} of {TOKENS} tokens a domain",
        "tokenizer": f"byte-level BPE of {VOCABULARY}",
        "repeats": arguments.repeats,
    }
    return Report("reading", BASELINE, conditions, tuple(figures))


def _figures(
    http: Reading, local: Reading, jsonl: Reading, baseline: tuple[float, float, float], written: Written
) -> tuple[Figure, ...]:
    percent = 100 / written.num_bytes
    downloading, filtering, tokenising = baseline
    return (
        Figure("HTTP: bytes sent of the corpus", http.sent * percent, "%", at_most=3),
        Figure("HTTP: of these to open it", http.opening * percent, "%"),
        Figure("HTTP: requests", http.requests),
        Figure("HTTP: time until it is open", http.opened, "s"),
        Figure("HTTP: time to all windows", http.all_windows, "s"),
        Figure("HTTP: peak memory", http.peak / 2**30, "GiB", at_most=1),
        Figure("local: time to all windows", local.all_windows, "s"),
        Figure("local: peak memory", local.peak / 2**30, "GiB"),
        Figure("baseline: download", downloading, "s"),
        Figure("baseline: filter", filtering, "s"),
        Figure("baseline: tokenise (scaled)", tokenising, "s"),
        Figure("baseline / HTTP", sum(baseline) / http.all_windows, "times", at_least=20),
        Figure("JSON Lines: time to the first window", jsonl.first_window, "s", at_most=1),
        Figure("JSON Lines: time to all windows", jsonl.all_windows, "s"),
        Figure("JSON Lines: peak memory", jsonl.peak / 2**30, "GiB"),
        Figure("JSON Lines: tokens cut", jsonl.tokens_per_second, "tokens/s"),
    )


def _read(dataset: str, column: str | None, checkpoint: Path, scratch: Path, num_samples: int) -> Reading:
    """Cut some windows of each domain and measure the cost."""
    from chameleon.proxy.tokenizer import load_tokenizer

    def sent() -> Traffic:
        return traffic(dataset) if dataset.startswith("http") else Traffic(0, 0)

    tokenizer, recipe = load_tokenizer(checkpoint), WindowRecipe(seed=0, sample_length=TOKENS)
    before, begin = sent(), perf_counter()
    with closing(open_corpus(CorpusRequest(dataset, domain_column=column, scratch=scratch))) as corpus:
        opened, opening = perf_counter(), sent()
        # The command measures all domains before it cuts any window.
        grids = [lay_grid(domain.text, tokenizer, recipe) for domain in corpus.domains]
        laid = perf_counter()
        first = next(windows_from(grids[0], tokenizer, recipe, 0, 0, 1, 1))
        cut_first = perf_counter()
        num_tokens, done, visit = int(first.lengths.sum()), len(first.tokens), first.next_visit
        for grid in grids:
            for windows in windows_from(grid, tokenizer, recipe, done, visit, num_samples, AT_ONCE):
                num_tokens += int(windows.lengths.sum())
            done, visit = 0, 0
        end, after = perf_counter(), sent()
    unit = 1 if sys.platform == "darwin" else 1024
    return Reading(
        opened=opened - begin,
        first_window=cut_first - begin,
        all_windows=end - begin,
        tokens_per_second=num_tokens / (end - laid),
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        opening=opening.num_bytes - before.num_bytes,
        sent=after.num_bytes - before.num_bytes,
        requests=after.requests - before.requests,
    )


def _read_all(url: str, checkpoint: Path, directory: Path) -> tuple[float, float, float]:
    """Seconds of downloading everything, of filtering it, and of tokenising it, scaled from one file."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from chameleon.proxy.tokenizer import load_tokenizer

    def filtered(path: Path) -> "Iterator[pa.Array]":
        """The texts of each label, some rows at a time."""
        for batch in pq.ParquetFile(path).iter_batches(1000, columns=["text", SLIMPAJAMA_COLUMN]):
            labels = pc.struct_field(batch["meta"], SLIMPAJAMA_COLUMN.partition(".")[2])
            for label in pc.unique(labels):
                yield batch["text"].filter(pc.equal(labels, label))

    backend = load_tokenizer(checkpoint).tokenizer.backend_tokenizer
    begin = perf_counter()
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        paths = download(url, Path(folder))
        downloaded = perf_counter()
        sizes = [sum(pc.sum(pc.binary_length(texts)).as_py() for texts in filtered(path)) for path in paths]
        at_filter = perf_counter()
        chosen = random.Random(0).randrange(len(paths))
        documents = [text for texts in filtered(paths[chosen]) for text in texts.to_pylist()]
    at_documents = perf_counter()
    for at in range(0, len(documents), 1000):
        backend.encode_batch(documents[at : at + 1000], add_special_tokens=False)
    tokenised = perf_counter() - at_documents
    return downloaded - begin, at_filter - downloaded, tokenised * sum(sizes) / sizes[chosen]


def _train_tokenizer(dataset: str, checkpoint: Path) -> None:
    from chameleon.training.tokenizer import train_bpe

    texts = (text for texts in texts_of(dataset).values() for text in texts)
    train_bpe(texts, VOCABULARY).save_pretrained(checkpoint)


def _write_parquet(dataset: str, folder: Path, num_bytes: int, rows_per_group: int | None) -> Written:
    """Write files of rows drawn at random, so that labels have about their shares of bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = {name: label for label, name in SLIMPAJAMA_NAMES.items()}
    rows, weights = [], []
    for name, texts in texts_of(dataset).items():
        pieces = [
            text[at : at + LONGEST_DOCUMENT] for text in texts for at in range(0, len(text), LONGEST_DOCUMENT)
        ]
        share = SHARES.get(name, mean(SHARES.values())) / sum(len(text.encode()) for text in pieces)
        rows += [{"text": text, "meta": {"redpajama_set_name": labels.get(name, name)}} for text in pieces]
        weights += [share] * len(pieces)
    label = pa.struct([("redpajama_set_name", pa.string())])
    schema = pa.schema([("text", pa.string()), ("meta", label), ("__index_level_0__", pa.int64())])
    # A dictionary of texts would hold each repeated document once, and the file would be too small.
    options = {"compression": "snappy", "use_dictionary": [SLIMPAJAMA_COLUMN]}
    generator = random.Random(0)

    def draw(number: int) -> "pa.Table":
        drawn = generator.choices(rows, weights, k=number)
        return pa.Table.from_pylist(
            [row | {"__index_level_0__": generator.randrange(10**7)} for row in drawn], schema
        )

    if rows_per_group is None:
        probe = pa.BufferOutputStream()
        pq.write_table(draw(5000), probe, **options)
        rows_per_group = max(1, round(5000 * num_bytes / FILES / ROW_GROUPS / probe.tell()))
    (folder / "data").mkdir(parents=True)
    written, groups = 0, 0
    for number in range(FILES):
        path = folder / "data" / f"train-{number:05}-of-{FILES:05}.parquet"
        with path.open("wb") as file, pq.ParquetWriter(file, schema, **options) as writer:
            while written + file.tell() < num_bytes * (number + 1) / FILES:
                writer.write_table(draw(rows_per_group))
                groups += 1
        written += path.stat().st_size
    return Written(written, rows_per_group, groups / FILES)


def _write_lines(dataset: str, folder: Path, num_bytes: int) -> None:
    """Write JSON Lines of the two domains with most documents, repeated in new random orders."""
    folder.mkdir()
    domains = sorted(texts_of(dataset).items(), key=lambda domain: -len(domain[1]))[:2]
    shuffler = random.Random(0)
    for name, texts in domains:
        lines = [json.dumps({"text": text}) + "\n" for text in texts]
        with (folder / f"{name}.jsonl").open("w") as file:
            while file.tell() < num_bytes:
                shuffler.shuffle(lines)
                file.writelines(lines)


if __name__ == "__main__":
    sys.exit(main())
