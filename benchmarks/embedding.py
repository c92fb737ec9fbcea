"""Throughput of embedding, against the method's published way and the machine's own arithmetic.

The same windows of a corpus are embedded with a GPT-2 of 82M parameters (6 blocks of width 768)

- naively, the baseline: the whole causal LM in float32 with its head and all hidden states, windows
  decoded to text and tokenised again with padding, 64 at a time, as the method's published code does;
- as the serial engine does, from text to written file, in the device's own dtype;
- by the forward pass of `chameleon.proxy.model` alone, on windows already cut, as the naive way has them.

The machine's rate of matrix products is measured in the same dtype, and the share of it that the
arithmetic needed by the lower blocks reaches; and the time that the tokenizer alone takes for the
text of these windows, with all threads, in which no way from text can be quicker. What is compared
is measured in turn.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from benchmarks.machine import Figure, Report, command_line, medians, positive_int, publish, texts_of
from chameleon.common.libraries import quiet_transformers
from chameleon.embeddings.embedder import default_batch_size
from chameleon.embeddings.load_proxy import LoadedProxy
from chameleon.embeddings.open_corpus import OpenCorpus
from chameleon.embeddings.options import EmbeddingOptions
from chameleon.embeddings.pieces import Pieces
from chameleon.embeddings.workers.connect import serial_scheduler
from chameleon.proxy.devices import choose_device, choose_dtype
from chameleon.proxy.model import Proxy, load_proxy
from chameleon.proxy.tokenizer import load_tokenizer
from chameleon.text.corpora import CorpusRequest, open_corpus
from chameleon.text.grid import WindowRecipe, lay_grid
from chameleon.text.windows import Windows, windows_from
from chameleon.training.tokenizer import train_bpe

WIDTH, BLOCKS, HEADS, CONTEXT, VOCABULARY = 768, 6, 12, 512, 50257
NAIVE_BATCH = 64


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--device", default="auto", help="as of the command (default: auto)")
    parser.add_argument("--repeats", type=positive_int, default=3, help="of each (default: 3)")
    parser.add_argument("--windows", type=positive_int, help="of a domain (default: 10 on a CPU, else 2048)")
    arguments = parser.parse_args(argv)
    device = choose_device(arguments.device)
    on_cpu = device.type == "cpu"
    corpus = open_corpus(CorpusRequest(arguments.dataset))
    recipe = WindowRecipe(seed=0, sample_length=CONTEXT)
    wanted = arguments.windows or (10 if on_cpu else 2048)
    with tempfile.TemporaryDirectory() as name:
        checkpoint = random_checkpoint(arguments.dataset, Path(name) / "checkpoint")
        proxy = load_proxy(checkpoint, device, choose_dtype("auto", device))
        options = EmbeddingOptions(embeddings_dir=Path(name) / "embeddings")
        opened = OpenCorpus(options, arguments.dataset, str(checkpoint), corpus, corpus, (), recipe)
        loaded = LoadedProxy(opened, checkpoint, load_tokenizer(checkpoint), proxy)
        num_windows, rows = _measure(loaded, wanted, arguments.repeats)
    num_tokens = num_windows * CONTEXT
    naive, ours, forward, tokenizing, rate = zip(*rows, strict=True)
    need = num_tokens * _flops_per_token(proxy.block)
    share, forward_share = medians(
        (need / a / each, need / b / each) for a, b, each in zip(ours, forward, rate, strict=True)
    )
    # From text to file a GPU waits for the tokenizer: its targets are for windows at hand.
    figures = (
        Figure("(a) naive, baseline", num_tokens / median(naive), "tokens/s"),
        Figure("(b) chameleon, text to file", num_tokens / median(ours), "tokens/s"),
        Figure("(b) / (a)", median(naive) / median(ours), "times", at_least=4 if on_cpu else None),
        Figure("(c) forward pass alone", num_tokens / median(forward), "tokens/s"),
        Figure("(c) / (a)", median(naive) / median(forward), "times", at_least=None if on_cpu else 10),
        Figure("(d) tokenizer alone", num_tokens / median(tokenizing), "tokens/s"),
        Figure("(e) matrix products", median(rate) / 1e9, "GFLOP/s"),
        Figure("arithmetic of (b) / (e)", 100 * share, "%", at_least=70 if on_cpu else None),
        Figure("arithmetic of (c) / (e)", 100 * forward_share, "%", at_least=None if on_cpu else 40),
    )
    conditions = {
        "windows": f"{num_tokens // CONTEXT} of {CONTEXT} tokens",
        "dtype of (b), (c) and (e)": str(proxy.dtype).removeprefix("torch."),
        "windows a batch of (b)": default_batch_size(proxy, recipe),
        "repeats": arguments.repeats,
    }
    report = Report("embedding", "published way: whole model, float32, batch 64", conditions, figures)
    return publish(report, arguments.output)


def random_checkpoint(dataset: str, directory: Path) -> Path:
    """A GPT-2 of 82M parameters with random weights and a BPE learnt from all its text."""
    texts = (text for texts in texts_of(dataset).values() for text in texts)
    train_bpe(texts, VOCABULARY).save_pretrained(directory)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=WIDTH, n_layer=BLOCKS, n_head=HEADS
    )
    with quiet_transformers():
        GPT2LMHeadModel(config).save_pretrained(directory)
    return directory


def _measure(
    loaded: LoadedProxy, wanted: int, repeats: int
) -> tuple[int, list[tuple[float, float, float, float, float]]]:
    """Windows, and for each repeat the seconds of the naive way, ours, our forward pass and the tokenizer;
    FLOP/s."""
    tokenizer, proxy, recipe = loaded.tokenizer, loaded.proxy, loaded.opened.recipe
    cut: list[Windows] = []
    for domain in loaded.opened.corpus.domains:
        grid = lay_grid(domain.text, tokenizer, recipe)
        number = min(wanted, grid.num_windows)
        cut += windows_from(grid, tokenizer, recipe, 0, 0, number, number)
    naive = _Naive(loaded.path, proxy.device)
    tokens = np.concatenate([windows.tokens for windows in cut])
    batch = default_batch_size(proxy, recipe)
    pieces = Pieces(loaded.opened.options.embeddings_dir)
    forward = partial(_forward, proxy, cut, batch)
    texts = [tokenizer.decode(ids) for ids in tokens.tolist()]
    with serial_scheduler(loaded, pieces, print) as (_, scheduler):

        def ours() -> None:
            for path in pieces.directory.glob("*.safetensors"):
                path.unlink()
            scheduler.fill(dict.fromkeys(scheduler.keys, wanted))

        for warm_up in (partial(naive.embed, tokens[:2]), ours, forward):  # domains are measured in ours
            warm_up()
        rows = [
            (
                _seconds(partial(naive.embed, tokens), proxy.device),
                _seconds(ours, proxy.device),
                _seconds(forward, proxy.device),
                _seconds(partial(tokenizer.ids, texts), proxy.device),
                _product_rate(proxy, batch * recipe.sample_length),
            )
            for _ in range(repeats)
        ]
    return len(tokens), rows


class _Naive:
    """The published way, reimplemented."""

    def __init__(self, checkpoint: Path, device: torch.device) -> None:
        with quiet_transformers():
            model: nn.Module = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
        self._model = model.to(device).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self._tokenizer.pad_token = self._tokenizer.eos_token
        self._device = device

    @torch.no_grad()
    def embed(self, tokens: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> torch.Tensor:
        means = []
        for begin in range(0, len(tokens), NAIVE_BATCH):
            texts = self._tokenizer.batch_decode(tokens[begin : begin + NAIVE_BATCH])
            inputs = self._tokenizer(
                texts, return_tensors="pt", padding=True, truncation=True, max_length=CONTEXT
            ).to(self._device)
            states = self._model(**inputs, output_hidden_states=True).hidden_states
            means.append(states[len(states) // 2].mean(dim=1).cpu())
        return torch.cat(means)


def _forward(proxy: Proxy, cut: Sequence[Windows], batch: int) -> None:
    for windows in cut:
        for begin in range(0, len(windows.tokens), batch):
            rows = slice(begin, begin + batch)
            proxy.embed(windows.tokens[rows], windows.lengths[rows])


def _product_rate(proxy: Proxy, num_tokens: int) -> float:
    """FLOP/s of the fastest of the products that a block consists of, each at its median."""
    rates = []
    for inner, outer in ((WIDTH, 3 * WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)):
        left = torch.randn(num_tokens, inner, device=proxy.device, dtype=proxy.dtype)
        right = torch.randn(inner, outer, device=proxy.device, dtype=proxy.dtype)
        product = partial(torch.mm, left, right, out=left @ right)
        times = [_seconds(product, proxy.device) for _ in range(9)]
        rates.append(2 * num_tokens * inner * outer / median(times))
    return max(rates)


def _flops_per_token(blocks: int) -> float:
    """What the lower blocks need: their matrices, and scores and values of half a window on average."""
    return blocks * (2 * 12 * WIDTH**2 + 2 * 2 * WIDTH * CONTEXT / 2)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    _finish(device)
    begin = perf_counter()
    work()
    _finish(device)
    return perf_counter() - begin


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
