"""How far the weights move when the proxy computes in bfloat16, against float32 on the same windows.

Weights of both modes by the whole pipeline with the default recipe, from two proxies: a GPT-2 of
82M parameters with random weights, and the small stand-in trained on the corpus.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.embedding import random_checkpoint
from benchmarks.machine import Figure, Report, command_line, publish, whole
from chameleon.corpora import open_corpus
from chameleon.devices import choose_device, choose_dtype
from chameleon.options import Options
from chameleon.pipeline import run
from chameleon.standin import standin_checkpoint
from chameleon.weights import Mode

MODES: tuple[Mode, ...] = ("pretrain", "finetune")
# Windows a domain and tokens a window where bfloat16 is not in hardware: torch then multiplies a
# thousand million numbers a second, and the whole would take hours.
_WITHOUT_HARDWARE = {"random 82M": (2, 64), "stand-in": (16, 128)}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--device", default="auto", help="as of the command (default: auto)")
    parser.add_argument("--num_samples", type=whole, default=64, help="windows a domain (default: 64)")
    arguments = parser.parse_args(argv)
    device = choose_device(arguments.device)
    in_hardware = str(choose_dtype("auto", device)) == "torch.bfloat16"
    whole_size = (arguments.num_samples, 512)
    sizes = dict.fromkeys(_WITHOUT_HARDWARE, whole_size) if in_hardware else _WITHOUT_HARDWARE
    domains = open_corpus(arguments.dataset).domains
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        checkpoints = {
            "random 82M": random_checkpoint(domains, directory / "random"),
            "stand-in": standin_checkpoint(domains, directory, device),
        }
        figures = tuple(
            figure
            for proxy, checkpoint in checkpoints.items()
            for figure in _movements(proxy, checkpoint, sizes[proxy], arguments.dataset, device.type)
        )
    conditions = {proxy: f"{n} windows a domain of {t} tokens" for proxy, (n, t) in sizes.items()}
    if not in_hardware:
        conditions["note"] = "no bfloat16 in hardware here, so the proxies see fewer and shorter windows"
    return publish(Report("bfloat16", "float32, the same windows", conditions, figures), arguments.output)


def _movements(
    proxy: str, checkpoint: Path, size: tuple[int, int], dataset: str, device: str
) -> Iterator[Figure]:
    """For each mode the largest movement of a weight."""
    for mode in MODES:
        in_float32, in_bfloat16 = (
            run(
                Options(
                    mode=mode,
                    dataset=dataset,
                    checkpoint_path=str(checkpoint),
                    embeddings_dir=checkpoint / "embeddings",
                    num_samples=size[0],
                    sample_length=size[1],
                    device=device,
                    dtype=dtype,
                )
            ).weights
            for dtype in ("float32", "bfloat16")
        )
        moved = float(np.abs(in_bfloat16 - in_float32).max())
        yield Figure(f"{proxy}, {mode}: largest weight", float(in_float32.max()))
        yield Figure(f"{proxy}, {mode}: largest movement", moved, at_most=0.002)


if __name__ == "__main__":
    sys.exit(main())
