"""Training through the Trainer, against a bare loop in torch on the same batches.

Both train the same model from the same weights, in turn, with the same optimizer, clipping and schedule.
Steps are timed after a few steps of warm-up. Model FLOPs are those of the matrix products, forward and
backward, counting half of attention's, since it is causal.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, TrainerCallback, TrainingArguments

from benchmarks.machine import Figure, Report, command_line, medians, positive_int, publish
from chameleon.common.libraries import quiet_transformers
from chameleon.proxy.devices import choose_dtype
from chameleon.proxy.tokenizer import load_tokenizer
from chameleon.text.corpora import CorpusRequest, open_corpus
from chameleon.training.models import SIZES, ModelSource, build_model
from chameleon.training.packing import pack
from chameleon.training.row_stream import Phase, RowStream
from chameleon.training.tokenizer import train_tokenizer
from chameleon.training.trainer import StreamDataset, StreamTrainer, collate

LENGTH = 512
VOCABULARY = 50257


@dataclass(frozen=True)
class Setup:
    """What both loops train, and on what."""

    model: str
    rows: StreamDataset
    batch_size: int
    steps: int
    warm_up: int
    compile: bool
    device: torch.device
    dtype: torch.dtype
    directory: Path


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    arguments = _arguments(argv)
    device = torch.device(arguments.device)
    dtype = choose_dtype("auto", device)
    number = (arguments.steps + arguments.warm_up) * arguments.batch_size
    with tempfile.TemporaryDirectory() as directory:
        setup = Setup(
            arguments.model,
            _rows(arguments.dataset, Path(directory), number),
            arguments.batch_size,
            arguments.steps,
            arguments.warm_up,
            arguments.compile,
            device,
            dtype,
            Path(directory),
        )
        repeats = [
            (_measure(setup, _train_by_trainer), _measure(setup, _train_by_bare_loop))
            for _ in range(arguments.repeats)
        ]
        reading = _reading_time(setup)
    trainer, bare = medians(repeats)
    ratio = median(theirs / ours for ours, theirs in repeats)
    tokens = arguments.batch_size * LENGTH
    rate = _product_rate(device, dtype)
    flops = flops_a_token(*SIZES[arguments.model][:2]) * tokens
    figures = (
        Figure("(a) through the Trainer", tokens / trainer, "token/s"),
        Figure("(b) bare loop", tokens / bare, "token/s"),
        Figure("rate of (a) / (b)", ratio, "", at_least=0.95),
        Figure("reading the mixture / step", 100 * reading / trainer, "%", at_most=2),
        Figure("(c) matrix products", rate / 1e12, "TFLOP/s"),
        Figure(
            "model FLOP/s of (a) / (c)",
            100 * flops / trainer / rate,
            "%",
            at_least=40 if device.type == "cuda" else None,
        ),
        Figure("model FLOP/s of (b) / (c)", 100 * flops / bare / rate, "%"),
    )
    conditions = {
        "model": f"{arguments.model}, context {LENGTH}, vocabulary {VOCABULARY}",
        "rows a step": arguments.batch_size,
        "dtype": str(dtype).removeprefix("torch."),
        "compiled": arguments.compile,
        "steps": arguments.steps,
        "repeats": arguments.repeats,
    }
    return publish(
        Report("training", "bare loop in torch on the same batches", conditions, figures), arguments.output
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = command_line(__doc__)
    parser.add_argument("--device", default="cpu", help="where to train (default: cpu)")
    parser.add_argument(
        "--model", choices=tuple(SIZES), default="82M", help="shape of the model (default: 82M)"
    )
    parser.add_argument("--batch_size", type=positive_int, default=2, help="rows per step (default: 2)")
    parser.add_argument("--steps", type=positive_int, default=6, help="timed steps (default: 6)")
    parser.add_argument("--warm_up", type=positive_int, default=2, help="steps before timing (default: 2)")
    parser.add_argument(
        "--repeats", type=positive_int, default=3, help="repeats of each loop, in turn (default: 3)"
    )
    parser.add_argument("--compile", action="store_true", help="compile the model")
    return parser.parse_args(argv)


def flops_a_token(blocks: int, width: int) -> float:
    """Forward and backward: 3 x 2 per weight of the matrices and the head, attention over half a row."""
    return 6 * (12 * blocks * width**2 + VOCABULARY * width) + 6 * blocks * LENGTH * width


def _rows(dataset: str, directory: Path, number: int) -> StreamDataset:
    """Rows from equal shares of a corpus's domains, packed as by the command."""
    with quiet_transformers():
        corpus = open_corpus(CorpusRequest(dataset, scratch=directory))
        texts = [domain.text for domain in corpus.domains]
        train_tokenizer(texts, VOCABULARY, 1 << 20).save_pretrained(directory / "tokenizer")
        packed = pack(corpus.domains, load_tokenizer(directory / "tokenizer"), directory, 0.01)
        corpus.close()
    sizes = np.array([each.tokens // LENGTH for each in packed], dtype=np.int64)
    uniform = np.full(len(packed), 1 / len(packed))
    stream = RowStream(tuple(each.name for each in packed), sizes, (Phase(0, uniform),), 0)
    return StreamDataset(stream, [each.array() for each in packed], LENGTH, number)


def _measure(setup: Setup, train: Callable[[PreTrainedModel, Setup], float]) -> float:
    """Seconds per step of one loop."""
    reset: Any = torch.compiler.reset
    reset()
    model = build_model(ModelSource(setup.model), VOCABULARY, 0, LENGTH, 0, False)
    move: Any = model.to
    seconds = train(move(setup.device), setup)
    del model
    if setup.device.type == "cuda":
        torch.cuda.empty_cache()
    return seconds


class _Clock(TrainerCallback):
    """Records when the warm-up ended, and when the run ended."""

    def __init__(self, warm_up: int, device: torch.device) -> None:
        self._warm_up = warm_up
        self._device = device
        self.begin = self.end = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        if state.global_step == self._warm_up:
            _synchronize(self._device)
            self.begin = perf_counter()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        _synchronize(self._device)
        self.end = perf_counter()


def _train_by_trainer(model: PreTrainedModel, setup: Setup) -> float:
    steps = setup.steps + setup.warm_up
    settings = TrainingArguments(
        output_dir=str(setup.directory / "trainer"),
        max_steps=steps,
        per_device_train_batch_size=setup.batch_size,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        learning_rate=5e-4,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr": 1e-4},
        weight_decay=0.01,
        adam_beta2=0.95,
        use_cpu=setup.device.type == "cpu",
        bf16=setup.dtype == torch.bfloat16,
        torch_compile=setup.compile,
        save_strategy="no",
        logging_steps=10,
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=setup.device.type == "cuda",
    )
    clock = _Clock(setup.warm_up, setup.device)
    with quiet_transformers():
        StreamTrainer(model=model, args=settings, train_dataset=setup.rows, callbacks=[clock]).train()
    return float(clock.end - clock.begin) / setup.steps


def _train_by_bare_loop(model: PreTrainedModel, setup: Setup) -> float:
    steps = setup.steps + setup.warm_up
    model.train()
    decayed = [each for each in model.parameters() if each.ndim > 1]
    others = [each for each in model.parameters() if each.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=5e-4,
        betas=(0.9, 0.95),
        fused=True,
    )
    schedule = LambdaLR(optimizer, lambda step: 1 - 0.8 * step / steps)
    forward: Any = torch.compile(model) if setup.compile else model
    begin = 0.0
    for step in range(steps):
        if step == setup.warm_up:
            _synchronize(setup.device)
            begin = perf_counter()
        first = step * setup.batch_size
        ids = collate(setup.rows.__getitems__(range(first, first + setup.batch_size)))["input_ids"]
        if setup.device.type == "cuda":
            ids = ids.pin_memory().to(setup.device, non_blocking=True)
        with torch.autocast(setup.device.type, setup.dtype, enabled=setup.dtype != torch.float32):
            loss = forward(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 10 == 9:
            loss.item()
    _synchronize(setup.device)
    return (perf_counter() - begin) / setup.steps


def _reading_time(setup: Setup) -> float:
    """Seconds to read the rows of a step."""
    rows, size = setup.rows, setup.batch_size
    starts = range(0, len(rows) - size + 1, size)
    times = []
    for start in islice(starts, 50):
        begin = perf_counter()
        collate(rows.__getitems__(range(start, start + size)))
        times.append(perf_counter() - begin)
    return median(times)


def _product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large product of random matrices."""
    size = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(13):
        _synchronize(device)
        begin = perf_counter()
        torch.mm(left, right)
        _synchronize(device)
        times.append(perf_counter() - begin)
    return float(2 * size**3 / median(times[3:]))


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
