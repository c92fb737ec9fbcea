"""Packing text into arrays of tokens, against the tokenizer's own batched rate.

A corpus of JSON Lines is made from the documents of another, repeated in random order up to a size; a BPE
with GPT-2's number of entries is learnt from it. The baseline encodes the first part of the same
documents, a thousand at once, and takes their ids: all that packing does besides (reading, hashing, the
split, writing) comes on top. Peak memory is that of a process of its own.
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

from benchmarks.machine import Figure, Report, command_line, medians, publish, texts_of, whole
from chameleon.proxy.tokenizer import load_tokenizer
from chameleon.text.corpora import CorpusRequest, open_corpus
from chameleon.training.packing import pack
from chameleon.training.tokenizer import train_tokenizer

VOCABULARY = 50257
AT_ONCE = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--megabytes", type=whole, default=1000, help="of text (default: 1000)")
    parser.add_argument("--repeats", type=whole, default=3, help="of each way, in turn (default: 3)")
    parser.add_argument("--child", type=Path, help="pack this directory, and say how fast and in what memory")
    arguments = parser.parse_args(argv)
    if arguments.child:
        return _child(arguments.child)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        size = _make_corpus(arguments.dataset, directory / "corpus", arguments.megabytes * 10**6)
        domains = open_corpus(CorpusRequest(str(directory / "corpus"))).domains
        made = train_tokenizer([domain.text for domain in domains], VOCABULARY, 1 << 21)
        made.save_pretrained(directory / "tokenizer")
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
    """Write a file a domain, all of about the same size; bytes of text in all."""
    directory.mkdir(parents=True)
    texts = texts_of(dataset)
    rng = random.Random(0)
    written = 0
    for name, documents in texts.items():
        here = 0
        with (directory / f"{name}.jsonl").open("w") as file:
            while here < size / len(texts):
                for document in rng.sample(documents, len(documents)):
                    file.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")
                    here += len(document.encode())
                    if here >= size / len(texts):
                        break
        written += here
    return written


def _baseline(directory: Path, size: int) -> float:
    """Bytes a second of the tokenizer alone, on the beginning of each file."""
    tokenizer = load_tokenizer(directory / "tokenizer")
    backend = tokenizer.tokenizer.backend_tokenizer
    paths = sorted((directory / "corpus").iterdir())
    seconds = done = 0.0
    for path in paths:
        batch: list[str] = []
        here = 0
        with path.open() as file:
            for line in file:
                text = json.loads(line)["text"]
                batch.append(text)
                here += len(text.encode())
                if len(batch) < AT_ONCE and here < size / len(paths):
                    continue
                begin = perf_counter()
                found = [each.ids for each in backend.encode_batch_fast(batch, add_special_tokens=False)]
                seconds += perf_counter() - begin
                assert found
                batch = []
                if here >= size / len(paths):
                    break
        done += here
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
