"""Exact RBF scores on a CUDA GPU: time and memory of many domains, and agreement with the CPU.

The baseline is the CPU on fewer domains, which the GPU scores too.
"""

import sys
from collections.abc import Sequence
from time import perf_counter

import numpy as np

from benchmarks.exact import grouped_means
from benchmarks.machine import Figure, Report, command_line, positive_int, publish
from chameleon.weights.many_domains.exact import exact_scores
from chameleon.weights.many_domains.gpu import gpu_scores

RIDGE = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--domains", type=positive_int, default=6000, help="domains on CPU and GPU (default: 6000)"
    )
    parser.add_argument(
        "--many", type=positive_int, default=30_000, help="domains on the GPU only (default: 30000)"
    )
    parser.add_argument("--device", default="cuda", help="torch's name of the device (default: cuda)")
    arguments = parser.parse_args(argv)
    import torch

    k, device = arguments.domains, arguments.device
    gpu_scores(grouped_means(500), RIDGE / 500, None, None, device)  # loads libraries and kernels
    means, lambda_reg = grouped_means(k), RIDGE / k
    begin = perf_counter()
    cpu = exact_scores(means, lambda_reg, None, None, with_gradients=True)
    seconds = perf_counter() - begin
    begin = perf_counter()
    gpu = gpu_scores(means, lambda_reg, None, None, device)
    gpu_seconds = perf_counter() - begin
    some = slice(0, 200)
    slopes = cpu.gradients(some)
    apart = np.abs(gpu.gradients(some) - slopes).max() / np.abs(slopes).max()
    del gpu
    is_cuda = torch.device(device).type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    many = grouped_means(arguments.many)
    begin = perf_counter()
    gpu = gpu_scores(many, RIDGE / arguments.many, None, None, device)
    many_seconds = perf_counter() - begin
    begin = perf_counter()
    gpu.gradients(slice(0, arguments.many))
    slope_seconds = perf_counter() - begin
    again = gpu_scores(means, lambda_reg, None, None, device).scores
    figures = [
        Figure(f"{k:,} domains: CPU, baseline, with derivatives", seconds, "s"),
        Figure(f"{k:,} domains: GPU", gpu_seconds, "s"),
        Figure("baseline / GPU", seconds / gpu_seconds, "times"),
        Figure("largest difference of scores", float(np.abs(again - cpu.scores).max()), "", at_most=1e-10),
        Figure("largest difference of derivatives", float(apart), "relative", at_most=1e-6),
        Figure(f"{arguments.many:,} domains: GPU, means to scores", many_seconds, "s", at_most=60),
        Figure(f"{arguments.many:,} domains: GPU, all derivatives", slope_seconds, "s"),
    ]
    if is_cuda:
        peak = torch.cuda.max_memory_allocated(device) / arguments.many**2 / 8
        figures.append(Figure(f"{arguments.many:,} domains: peak GPU memory", peak, "of K"))
    conditions = {"kernel": "rbf, median width", "width": means.shape[1], "k lambda": RIDGE, "device": device}
    return publish(
        Report("exact_on_gpu", "the CPU in the same run", conditions, tuple(figures)), arguments.output
    )


if __name__ == "__main__":
    sys.exit(main())
