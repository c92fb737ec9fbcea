"""All methods on one corpus: their weights and costs, and equal base models trained on each mixture.

Runs the real commands: `python -m chameleon methods all`; the main script with a proxy of the same shape (the
reference model of DoReMi, trained on uniform weights); `python -m chameleon train` from scratch for each
mixture and seed; and one `python -m chameleon evaluate` of all models on held-out documents. The baseline is
the uniform mixture. All models have the same shape, tokenizer and number of steps. Differences from uniform
are between models of the same seed, so that the seed's effect cancels; their standard errors are over seeds.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.machine import ROOT, SCRIPT, Figure, Report, command_line, positive_int, publish
from chameleon.methods.cost import Cost, training_cost
from chameleon.methods.options import METHODS

MODEL: dict[str, Any] = {
    "model_type": "gpt2", "vocab_size": 4096, "n_positions": 128, "n_embd": 128, "n_layer": 4, "n_head": 4,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
_BASELINE = "uniform"


def main(argv: Sequence[str] | None = None) -> int:
    """Compute weights, train, evaluate and report."""
    parser = command_line(__doc__)
    parser.add_argument("--steps", type=positive_int, default=300, help="steps of each model (default: 300)")
    parser.add_argument("--runs", type=positive_int, default=24, help="small models of RegMix (default: 24)")
    parser.add_argument("--seeds", type=positive_int, default=3, help="seeds of base models (default: 3)")
    parser.add_argument("--keep", type=Path, help="directory to keep all files in (default: delete them)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        commands = _Commands(arguments, (arguments.keep or Path(name)).resolve())
        weights = commands.weights()
        losses = commands.losses(weights, range(arguments.seeds))
    conditions = {
        "dataset": arguments.dataset,
        "model": "GPT-2 of 4 blocks, width 128, vocabulary 4096",
        "rows a step": "16 of 128 tokens",
        "steps of each model": arguments.steps,
        "runs of RegMix, which take DoReMi's steps together": arguments.runs,
        "seeds of base models": arguments.seeds,
    }
    figures = tuple(_figures(weights, losses))
    return publish(Report("comparison", "the uniform mixture", conditions, figures), arguments.output)


def _figures(weights: dict[str, Any], losses: dict[str, list[dict[str, float]]]) -> list[Figure]:
    """For each mixture: its weights and cost, losses by domain, and the difference from the baseline."""
    figures = []
    for method, content in weights.items():
        for domain, share in content["weights"].items():
            figures.append(Figure(f"{method}: weight of {domain}", share))
        cost = content["diagnostics"].get("cost")
        if cost is not None:
            figures.append(Figure(f"{method}: cost", cost["flops"], "FLOPs"))
            figures.append(Figure(f"{method}: time", cost["seconds"], "s"))
    for method, seeds in losses.items():
        for domain in seeds[0]:
            values = [math.exp(seed[domain]) for seed in seeds]
            figures.append(Figure(f"{method}: perplexity on {domain}", mean(values)))
            if len(values) > 1:
                error = stdev(values) / math.sqrt(len(values))
                figures.append(Figure(f"{method}: perplexity on {domain}, standard error", error))
        means = [mean(seed.values()) for seed in seeds]
        differences = [
            one - mean(other.values()) for one, other in zip(means, losses[_BASELINE], strict=True)
        ]
        figures.append(Figure(f"{method}: mean loss", mean(means), "nats"))
        figures.append(Figure(f"{method}: mean loss less that of {_BASELINE}", mean(differences), "nats"))
        if len(differences) > 1:
            error = stdev(differences) / math.sqrt(len(differences))
            figures.append(Figure(f"{method}: standard error of that", error, "nats"))
    return figures


class _Commands:
    """Runs the commands in one directory."""

    def __init__(self, arguments: Any, directory: Path) -> None:  # noqa: ANN401
        self._directory, self._steps, self._runs = directory, arguments.steps, arguments.runs
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "model.json").write_text(json.dumps(MODEL))
        dataset = Path(arguments.dataset)
        self._corpus = str(dataset.resolve()) if dataset.exists() else arguments.dataset
        self._text = ["--dataset", self._corpus, "--packed_dir", "packed", "--heldout_share", "0.1"]
        self._training = [
            *self._text, "--model", "model.json", "--vocab_size", "4096", "--sample_length", "128",
            "--batch_size", "16", "--learning_rate", "2e-3", "--max_steps", str(self._steps),
            "--save_steps", str(self._steps),
        ]  # fmt: skip

    def weights(self) -> dict[str, Any]:
        """The content of each method's weights file."""
        self._command(
            "-m", "chameleon", "methods", "all", *self._training, "--num_runs", str(self._runs),
            "--engine", "processes", "--num_workers", "2", "--output_dir", "methods",
        )  # fmt: skip
        proxy = ["--checkpoint_path", "methods/doremi/reference", "--sample_length", "128"]
        seconds = []
        for mode in ("pretrain", "finetune"):
            begin = perf_counter()
            self._command(str(SCRIPT), "--mode", mode, "--dataset", self._corpus, *proxy)
            seconds.append(perf_counter() - begin)
        files = {method: f"methods/weights_{method}.json" for method in METHODS}
        files |= {f"chameleon {mode}": f"chameleon_weights_{mode}.json" for mode in ("pretrain", "finetune")}
        self._files = files
        weights = {name: json.loads((self._directory / path).read_text()) for name, path in files.items()}
        # The second command reuses the embeddings of the first.
        cost = self._proxy_cost(weights["chameleon pretrain"], seconds[0])
        for mode in ("pretrain", "finetune"):
            weights[f"chameleon {mode}"]["diagnostics"]["cost"] = cost.to_dict()
        return weights

    def _proxy_cost(self, weights: dict[str, Any], seconds: float) -> Cost:
        """The cost of training the proxy and of embedding by its lower half."""
        length, width = MODEL["n_positions"], MODEL["n_embd"]
        rows = np.array([self._steps * 16])
        cost = training_cost(self._directory / "methods/doremi/reference", rows, length, 3)
        blocks = (MODEL["n_layer"] + 1) // 2
        tokens = sum(facts["tokens"] for facts in weights["domains"].values())
        # Matrices of a block, and attention over all positions, as counted for the other methods.
        return cost + Cost(float(tokens * blocks * (24 * width**2 + 4 * length * width)), 0, seconds)

    def losses(self, methods: dict[str, Any], seeds: range) -> dict[str, list[dict[str, float]]]:
        """Held-out losses by method: for each seed, by domain."""
        jobs = [(method, seed) for seed in seeds for method in methods]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            directories = list(pool.map(lambda job: self._train(*job), jobs))
        self._command("-m", "chameleon", "evaluate", *directories, *self._text, "--sample_length", "128")
        checkpoints = json.loads((self._directory / "chameleon_evaluation.json").read_text())["checkpoints"]
        losses: dict[str, list[dict[str, float]]] = {method: [] for method in methods}
        for (method, _), checkpoint in zip(jobs, checkpoints, strict=True):
            losses[method].append({name: facts["loss"] for name, facts in checkpoint["domains"].items()})
        return losses

    def _train(self, method: str, seed: int) -> str:
        directory = f"base/{method.replace(' ', '-')}-{seed}"
        if not (self._directory / directory / "config.json").exists():
            self._command(
                "-m", "chameleon", "train", *self._training, "--weights", self._files[method],
                "--seed", str(100 + seed), "--output_dir", directory, threads=1,
            )  # fmt: skip
        return directory

    def _command(self, *arguments: str, threads: int | None = None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        run = subprocess.run(
            [sys.executable, *arguments],
            cwd=self._directory,
            env=environment,
            capture_output=True,
            text=True,
        )
        if run.returncode:
            raise SystemExit(f"{' '.join(arguments[:3])} failed: {run.stderr[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
