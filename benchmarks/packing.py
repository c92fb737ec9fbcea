"""Packing text into arrays of tokens, against the tokenizer's own batched rate.

A JSON Lines corpus is made from the documents of another one, repeated in random order up to a size, and a
BPE with as many entries as GPT-2's is trained on it. The baseline encodes the first part of the same
documents, a thousand at a time, and takes their ids. Packing also reads, hashes, divides and writes them.
Peak memory is that of a separate process.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from benchmarks.machine import Figure, Report, command_line, medians, positive_int, publish, texts_of
from chameleon.proxy.tokenizer import load_tokenizer
from chameleon.text.corpora import CorpusRequest, open_corpus
from chameleon.training.packing import pack
from chameleon.training.tokenizer import train_tokenizer

VOCABULARY = 50257
AT_ONCE = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--megabytes", type=positive_int, default=1000, help="megabytes of text (default: 1000)"
    )
    parser.add_argument(
        "--repeats", type=positive_int, default=3, help="repeats of each, in turn (default: 3)"
    )
    parser.add_argument(
        "--child", type=Path, help="only pack this directory, and print seconds and peak memory"
    )
    arguments = parser.parse_args(argv)
    if arguments.child:
        return _child(arguments.child)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        size = _make_corpus(arguments.dataset, directory / "corpus", arguments.megabytes * 10**6)
        domains = open_corpus(CorpusRequest(str(directory / "corpus"))).domains
        tokenizer = train_tokenizer([domain.text for domain in domains], VOCABULARY, 1 << 21)
        tokenizer.save_pretrained(directory / "tokenizer")
        small = directory / "small"
        _make_corpus(arguments.dataset, small / "corpus", size // 16)
        (small / "tokenizer").symlink_to(directory / "tokenizer")
        rows = []
        for _ in range(arguments.repeats):
            baseline = _baseline(directory, size // 16)
            seconds, memory = _packed(directory)
            _, small_memory = _packed(small)
            rows.append((baseline, size / seconds, size / seconds / baseline, memory, memory / small_memory))
    baseline, ours, ratio, memory, growth = medians(rows)
    figures = (
        Figure("(a) the tokenizer's own batched rate", baseline / 1e6, "MB/s"),
        Figure("(b) packing, from files to arrays", ours / 1e6, "MB/s"),
        Figure("(b) / (a)", ratio, "", at_least=1),
        Figure("peak memory of (b)", memory / 2**20, "GiB"),
        Figure("    against a sixteenth of the text", growth, "times", at_most=1.5),
    )
    conditions = {"text": f"{size / 1e6:.0f} MB", "vocabulary": VOCABULARY, "repeats": arguments.repeats}
    return publish(
        Report(
            "packing", "the tokenizer alone, encode_batch_fast on 1000 documents at once", conditions, figures
        ),
        arguments.output,
    )


def _make_corpus(dataset: str, directory: Path, size: int) -> int:
    """Write a file per domain, all of about the same size; returns the bytes of text in all."""
    directory.mkdir(parents=True)
    texts = texts_of(dataset)
    rng = random.Random(0)
    written = 0
    for name, documents in texts.items():
        size_of_domain = 0
        with (directory / f"{name}.jsonl").open("w") as file:
            while size_of_domain < size / len(texts):
                for document in rng.sample(documents, len(documents)):
                    file.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")
                    size_of_domain += len(document.encode())
                    if size_of_domain >= size / len(texts):
                        break
        written += size_of_domain
    return written


def _baseline(directory: Path, size: int) -> float:
    """Bytes per second of the tokenizer alone, on the beginning of each file."""
    tokenizer = load_tokenizer(directory / "tokenizer")
    backend = tokenizer.tokenizer.backend_tokenizer
    paths = sorted((directory / "corpus").iterdir())
    seconds = done = 0.0
    for path in paths:
        batch: list[str] = []
        size_of_domain = 0
        with path.open() as file:
            for line in file:
                text = json.loads(line)["text"]
                batch.append(text)
                size_of_domain += len(text.encode())
                if len(batch) < AT_ONCE and size_of_domain < size / len(paths):
                    continue
                begin = perf_counter()
                ids = [each.ids for each in backend.encode_batch_fast(batch, add_special_tokens=False)]
                seconds += perf_counter() - begin
                assert ids
                batch = []
                if size_of_domain >= size / len(paths):
                    break
        done += size_of_domain
    return done / seconds


def _packed(directory: Path) -> tuple[float, float]:
    """Seconds and peak memory (KiB) of packing a corpus."""
    command = [sys.executable, "-m", "benchmarks.packing", "--child", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def _child(directory: Path) -> int:
    tokenizer = load_tokenizer(directory / "tokenizer")
    with tempfile.TemporaryDirectory(dir=directory) as target:
        corpus = open_corpus(CorpusRequest(str(directory / "corpus")))
        begin = perf_counter()
        pack(corpus.domains, tokenizer, Path(target), 0.01)
        seconds = perf_counter() - begin
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return 0


if __name__ == "__main__":
    sys.exit(main())
