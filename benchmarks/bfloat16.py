"""How far the weights move when the proxy computes in bfloat16, against float32 on the same windows.

Computes weights of both modes by the whole pipeline with the default recipe, from two proxies: a GPT-2 of
82M parameters with random weights, and the small stand-in trained on the corpus. Without bfloat16 in
hardware, torch multiplies matrices in it hundreds of times more slowly; the benchmark then computes products
as the hardware does: exact products of bfloat16 numbers, summed in float32, the sum rounded to bfloat16. How
far that is from torch's own products is reported too.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.embedding import random_checkpoint
from benchmarks.machine import Figure, Report, command_line, positive_int, publish
from chameleon.pipeline.options import Options
from chameleon.pipeline.run import run
from chameleon.proxy.devices import choose_device, choose_dtype
from chameleon.proxy.model import Proxy, load_proxy
from chameleon.text.corpora import CorpusRequest, open_corpus
from chameleon.training.standin import standin_checkpoint
from chameleon.weights.options import Mode

WINDOW = 512
MODES: tuple[Mode, ...] = ("pretrain", "finetune")
_ATEN = torch.ops.aten
_PRODUCTS = (_ATEN.mm.default, _ATEN.addmm.default, _ATEN.bmm.default, _ATEN.linear.default)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--device", default="auto", help="device of the proxy (default: auto)")
    parser.add_argument(
        "--num_samples", type=positive_int, default=64, help="windows per domain (default: 64)"
    )
    arguments = parser.parse_args(argv)
    device = choose_device(arguments.device)
    in_hardware = choose_dtype("auto", device) == torch.bfloat16
    domains = open_corpus(CorpusRequest(arguments.dataset)).domains
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        checkpoints = {
            "random 82M": random_checkpoint(arguments.dataset, directory / "random"),
            "stand-in": standin_checkpoint([domain.text for domain in domains], directory, device),
        }
        products = nullcontext if in_hardware else _HardwareProducts
        figures = tuple(
            figure
            for proxy, checkpoint in checkpoints.items()
            for figure in _movements(proxy, checkpoint, arguments, device.type, products)
        )
        if not in_hardware:
            distance, rounding = _distance_to_torch(checkpoints["random 82M"], device)
            figures += (
                Figure("64 tokens: bfloat16 to float32, relative", rounding),
                Figure("64 tokens: products here to torch's own", distance),
            )
    conditions = {
        "windows a domain": f"{arguments.num_samples} of {WINDOW} tokens",
        "bfloat16 products": "in hardware" if in_hardware else "made in float32, rounded as in hardware",
    }
    return publish(Report("bfloat16", "float32, the same windows", conditions, figures), arguments.output)


class _HardwareProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Matrix products of bfloat16 numbers computed in float32, which holds each product exactly."""

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func not in _PRODUCTS or args[0].dtype != torch.bfloat16:
            return func(*args, **(kwargs or {}))
        widened = [each.float() if isinstance(each, torch.Tensor) else each for each in args]
        return func(*widened, **(kwargs or {})).bfloat16()


def _distance_to_torch(checkpoint: Path, device: torch.device) -> tuple[float, float]:
    """Relative distances of embeddings: products as above to torch's own, and torch's own to float32."""
    tokens = np.arange(64, dtype=np.int32)[None]
    proxy, exact = (load_proxy(checkpoint, device, dtype) for dtype in (torch.bfloat16, torch.float32))
    embed = partial(Proxy.embed, tokens=tokens, lengths=np.array([64]))
    own, float32 = embed(proxy), embed(exact)
    with _HardwareProducts():  # type: ignore[no-untyped-call]
        emulated = embed(proxy)
    size = float(float32.norm())
    return float((emulated - own).norm()) / size, float((own - float32).norm()) / size


def _movements(
    proxy: str,
    checkpoint: Path,
    arguments: argparse.Namespace,
    device: str,
    products: Callable[[], AbstractContextManager[Any]],
) -> Iterator[Figure]:
    """The largest movement of a weight in each mode."""
    for mode in MODES:
        weights = {}
        for dtype in ("float32", "bfloat16"):
            with products():
                weights[dtype] = run(
                    Options(
                        mode=mode,
                        dataset=arguments.dataset,
                        checkpoint_path=str(checkpoint),
                        embeddings_dir=checkpoint / "embeddings",
                        num_samples=arguments.num_samples,
                        sample_length=WINDOW,
                        device=device,
                        dtype=dtype,
                    )
                ).weights.weights
        moved = float(np.abs(weights["bfloat16"] - weights["float32"]).max())
        yield Figure(f"{proxy}, {mode}: largest weight", float(weights["float32"].max()))
        yield Figure(f"{proxy}, {mode}: largest movement", moved, at_most=0.002)


if __name__ == "__main__":
    sys.exit(main())
