"""Design effect of sampling: how the variance of a domain's embedding compares with independent windows.

The design effect is the variance of a domain's mean embedding over seeds, with windows drawn as the command
draws them, divided by that of as many windows drawn independently and uniformly over the domain's tokens;
both are summed over the coordinates of the embedding. 1 is as good as independent windows, below 1 is better.
The same documents lie in several layouts: JSON Lines read whole, JSON Lines read around each window, parquet
with the domains mixed in about 110 row groups, the same sorted by domain and length, and the mixed one read
as if it were large.
"""

import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.machine import Figure, Report, command_line, positive_int, publish, texts_of
from chameleon.proxy.model import Proxy, load_proxy
from chameleon.proxy.tokenizer import ProxyTokenizer, load_tokenizer
from chameleon.text.corpora import Corpus, CorpusRequest, formats, open_corpus, storage
from chameleon.text.corpora.spool import UnitsText
from chameleon.text.grid import WindowRecipe, lay_grid
from chameleon.text.protocols import Text
from chameleon.text.windows import windows_from
from chameleon.training.standin import standin_checkpoint

LENGTH = 128


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--num_samples", type=positive_int, default=32, help="windows of a draw (default: 32)"
    )
    parser.add_argument(
        "--draws", type=positive_int, default=60, help="draws per layout and domain (default: 60)"
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        texts = texts_of(arguments.dataset)
        corpus = open_corpus(CorpusRequest(arguments.dataset))
        checkpoint = standin_checkpoint([d.text for d in corpus.domains], directory, torch.device("cpu"))
        embedder = _Embedder(checkpoint)
        independent = {name: embedder.independent(documents) for name, documents in texts.items()}
        figures = []
        for layout, write in LAYOUTS.items():
            write(directory / layout, texts)
            effects = _effects(directory / layout, layout, embedder, independent, arguments)
            most = None if layout == FEW_VISITS else 1.5
            figures += [Figure(f"{layout}: {name}", each, at_most=most) for name, each in effects.items()]
    conditions = {
        "windows of a draw": arguments.num_samples,
        "draws": arguments.draws,
        "tokens of a window": LENGTH,
        "proxy": "small stand-in",
    }
    report = Report("design_effect", "independent windows, uniform over tokens", conditions, tuple(figures))
    return publish(report, arguments.output)


def _effects(
    directory: Path,
    layout: str,
    embedder: "_Embedder",
    independent: dict[str, float],
    arguments: Any,  # noqa: ANN401
) -> dict[str, float]:
    corpus = _opened(directory, layout)
    try:
        return {
            domain.name: embedder.variance(domain.text, arguments.draws, arguments.num_samples)
            / (independent[domain.name] / arguments.num_samples)
            for domain in corpus.domains
        }
    finally:
        corpus.close()


def _opened(directory: Path, layout: str) -> Corpus:
    mixed = layout.startswith("parquet")
    with patch.object(formats, "WHOLE_BYTES", 0 if layout == "lines, sought" else storage.WHOLE_BYTES):
        request = CorpusRequest(
            str(directory), domain_column="domain" if mixed else None, scratch=directory.parent
        )
        corpus = open_corpus(request)
    if layout != FEW_VISITS:
        return corpus
    domains = []
    for domain in corpus.domains:
        assert isinstance(domain.text, UnitsText)
        domains.append(replace(domain, text=replace(domain.text, unit_budget=20)))
    return replace(corpus, domains=tuple(domains))


def _write_lines(directory: Path, texts: dict[str, list[str]]) -> None:
    directory.mkdir()
    for name, documents in texts.items():
        rows = "".join(json.dumps({"text": text}) + "\n" for text in documents)
        (directory / f"{name}.jsonl").write_text(rows)


def _write_parquet(directory: Path, rows: list[tuple[str, str]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    directory.mkdir()
    table = pa.table({"text": [text for _, text in rows], "domain": [name for name, _ in rows]})
    pq.write_table(table, directory / "train.parquet", row_group_size=max(1, len(rows) // 110))


def _rows(texts: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, text) for name, documents in texts.items() for text in documents]


def _write_shuffled(directory: Path, texts: dict[str, list[str]]) -> None:
    rows = _rows(texts)
    random.Random(0).shuffle(rows)
    _write_parquet(directory, rows)


def _write_sorted(directory: Path, texts: dict[str, list[str]]) -> None:
    _write_parquet(directory, sorted(_rows(texts), key=lambda row: (row[0], len(row[1]))))


# Read as a large corpus, of which few row groups may be read: no target, since windows come in clusters.
FEW_VISITS = "parquet, 20 visits"
LAYOUTS: dict[str, Callable[[Path, dict[str, list[str]]], None]] = {
    "lines": _write_lines,
    "lines, sought": _write_lines,
    "parquet, shuffled": _write_shuffled,
    "parquet, sorted": _write_sorted,
    FEW_VISITS: _write_shuffled,
}


class _Embedder:
    """A proxy, and variances of its embeddings of windows."""

    def __init__(self, checkpoint: Path) -> None:
        self.tokenizer: ProxyTokenizer = load_tokenizer(checkpoint)
        self.proxy: Proxy = load_proxy(checkpoint, torch.device("cpu"), torch.float32)

    def rows(self, tokens: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(n, d) embeddings of windows."""
        batches = [slice(i, i + 32) for i in range(0, len(tokens), 32)]
        parts = [self.proxy.embed(tokens[batch], lengths[batch]).numpy() for batch in batches]
        return np.concatenate(parts).astype(np.float64)

    def independent(self, documents: list[str], number: int = 2000) -> float:
        """Variance of the embedding of a window drawn uniformly over the tokens, summed over coordinates."""
        encoded = self.tokenizer.encode(documents)
        stream = np.concatenate([np.append(each.ids, self.tokenizer.end_of_text) for each in encoded])
        starts = np.random.default_rng(0).integers(0, len(stream), number)
        tokens = stream[(starts[:, None] + np.arange(LENGTH)) % len(stream)].astype(np.int32)
        return float(self.rows(tokens, np.full(number, LENGTH)).var(axis=0, ddof=1).sum())

    def variance(self, text: Text, draws: int, num_samples: int) -> float:
        """Variance over seeds of the mean embedding of a draw, summed over coordinates."""
        means = []
        for seed in range(draws):
            recipe = WindowRecipe(seed, LENGTH)
            grid = lay_grid(text, self.tokenizer, recipe)
            chunks = list(windows_from(grid, self.tokenizer, recipe, 0, 0, num_samples, num_samples))
            tokens = np.concatenate([windows.tokens for windows in chunks])[:num_samples]
            lengths = np.concatenate([windows.lengths for windows in chunks])[:num_samples]
            means.append(self.rows(tokens, lengths).mean(axis=0))
        return float(np.var(means, axis=0, ddof=1).sum())


if __name__ == "__main__":
    sys.exit(main())
