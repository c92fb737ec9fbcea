"""The cost of a step of DoReMi and DoGE relative to plain training: time, and peak memory.

The same GPT-2 with random weights and the same batches, of rows of seven domains, with AdamW; each in a
process of its own. The baseline is plain training. By forward passes (a backward pass counts as two), DoReMi
should take 4/3 of the time, for the reference model's forward pass, and DoGE twice the time, since each
domain's gradient is computed twice so that at most three are held. With parameters, the sum of the targets'
gradients, the sum so far, a gradient and AdamW's two moments, DoGE holds six times the parameters; plain
training holds four.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import torch

from benchmarks.machine import ROOT, Figure, Report, command_line, medians, positive_int, publish
from chameleon.methods.doge import DoGE, DoGESettings
from chameleon.methods.doremi import DoReMi
from chameleon.training.models import ModelSource, build_model

_KINDS = ("plain", "doremi", "doge")
_K, _VOCABULARY = 7, 50257


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--model", default="82M", help="size of the proxy (default: 82M)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--batch_size", type=positive_int, default=14, help="rows of a step (default: 14)")
    parser.add_argument("--length", type=positive_int, default=128, help="tokens of a row (default: 128)")
    parser.add_argument(
        "--steps", type=positive_int, default=3, help="timed steps, after one of warm-up (default: 3)"
    )
    parser.add_argument(
        "--repeats", type=positive_int, default=2, help="repeats of each, in turn (default: 2)"
    )
    parser.add_argument(
        "--kind", choices=_KINDS, help="measure only this one, in this process (default: all)"
    )
    arguments = parser.parse_args(argv)
    if arguments.kind is not None:
        print(json.dumps(_measure(arguments)))
        return 0
    names = ("model", "device", "batch_size", "length", "steps")
    flags = [f"--{name}={getattr(arguments, name)}" for name in names]
    rows = []
    for _ in range(arguments.repeats):
        row: list[float] = []
        for kind in _KINDS:
            command = [sys.executable, "-m", "benchmarks.methods", *flags, "--kind", kind]
            row += json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
        rows.append(row)
    plain, plain_memory, doremi, doremi_memory, doge, doge_memory = medians(rows)
    figures = (
        Figure("plain: step, baseline", plain, "s"),
        Figure("DoReMi: step / plain", doremi / plain, "times"),
        Figure("DoGE: step / plain", doge / plain, "times"),
        Figure("plain: memory at the peak, baseline", plain_memory, "GiB"),
        Figure("DoReMi: memory / plain", doremi_memory / plain_memory, "times"),
        Figure("DoGE: memory / plain", doge_memory / plain_memory, "times", at_most=2),
    )
    conditions = {
        "model": arguments.model,
        "rows a step": f"{arguments.batch_size} of {arguments.length} tokens, {_K} domains",
        "device": arguments.device,
        "steps": arguments.steps,
        "repeats": arguments.repeats,
    }
    return publish(Report("methods", "plain training", conditions, figures), arguments.output)


def _measure(arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds of a step, and GiB of memory at the peak beyond that of a process without a model."""
    name, device = arguments.model, torch.device(arguments.device)
    batch_size, length, steps = arguments.batch_size, arguments.length, arguments.steps
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def new_model() -> Any:  # noqa: ANN401
        model: Any = build_model(ModelSource(name), _VOCABULARY, 0, length, 0, False)
        return model.to(device)

    model = new_model().train()
    kind = arguments.kind
    objective: DoReMi | DoGE | None = None
    if kind == "doremi":
        objective = DoReMi(_K, new_model(), "", torch.float32)
    elif kind == "doge":
        objective = DoGE(_K, DoGESettings(tuple(range(_K))))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    random = torch.Generator().manual_seed(0)
    domains = (torch.arange(batch_size) % _K).to(device)
    seconds = []
    for _ in range(steps + 1):
        ids = torch.randint(_VOCABULARY, (batch_size, length), generator=random).to(device)
        begin = perf_counter()
        if objective is None:
            torch.autograd.backward(model(input_ids=ids, labels=ids).loss)
        else:
            objective.step(model, ids, domains, 1e-4)
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(perf_counter() - begin)
    peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)
    if device.type == "cuda":
        peak = float(torch.cuda.max_memory_allocated())
    return median(seconds[1:]), peak / (1 << 30)


if __name__ == "__main__":
    sys.exit(main())
