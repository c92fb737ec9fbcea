"""All methods on one corpus: their weights and costs, and equal base models trained on each mixture.

Runs the real commands: `python -m chameleon methods` for the weights of each method, the main script with the
law's run on uniform weights as proxy, `python -m chameleon train` from scratch for each mixture and seed, and
an evaluation of each model on documents that neither training nor any method has seen. The baseline is the
uniform mixture. All models have the same shape, tokenizer and number of steps. Differences from uniform are
between models of one seed, so that the seed's effect cancels.

Everything is kept in the work directory, and a repeated command goes on from what is there. records.json
holds what is known of the models; copied to another machine, it saves training them again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.comparison_figures import BASELINE, draw, figures_of
from benchmarks.comparison_text import split_corpus
from benchmarks.machine import ROOT, SCRIPT, Report, command_line, positive_int, publish
from chameleon.common.command_line import name_list
from chameleon.common.files import write_atomically
from chameleon.methods.cost import Cost, training_cost

# The output has embeddings of its own: such a model learns in fewer tokens, and its seeds differ less.
MODEL: dict[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 4096, "hidden_size": 128,
    "intermediate_size": 344, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4,
    "max_position_embeddings": 128, "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip

# Methods and the flags of their search, which has the seed 0; models are trained with the seeds 1, 2, ...
_RULES = ("uniform", "natural", "temperature")
_TRAINED = ("regmix", "doremi", "doge")
_CHAMELEON = ("pretrain", "finetune", "pretrain-released", "finetune-released")
METHODS = (
    "uniform",
    "law",
    "law-short",
    *_CHAMELEON[:2],
    "natural",
    "temperature",
    *_CHAMELEON[2:],
    *_TRAINED,
)

# The steps of the law's runs, which RegMix, DoReMi and DoGE take together in their searches too.
_LAW_RUNS = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Compute weights, train, evaluate and report."""
    parser = command_line(__doc__)
    parser.add_argument("--work_dir", type=Path, help="directory of all files (default: delete them)")
    parser.add_argument("--steps", type=positive_int, default=2400, help="steps of a model (default: 2400)")
    parser.add_argument(
        "--weights_from", type=positive_int, metavar="STEPS",
        help="train on the weights that a comparison of so many steps has found (default: find them)",
    )  # fmt: skip
    parser.add_argument("--batch_size", type=positive_int, default=8, help="rows per step (default: 8)")
    parser.add_argument("--seeds", type=positive_int, default=2, help="models of each method (default: 2)")
    parser.add_argument(
        "--methods", type=name_list, default=METHODS, help="methods to compare (default: all)"
    )
    parser.add_argument("--model", type=Path, help="config.json of all models (default: Llama, 1.8M)")
    parser.add_argument(
        "--sample_length", type=positive_int, default=128, help="tokens of a row (default: 128)"
    )
    parser.add_argument("--learning_rate", default="2e-3", help="peak learning rate (default: 2e-3)")
    parser.add_argument("--eval_tokens", type=positive_int, default=1 << 15, help="test tokens of a domain")
    parser.add_argument("--jobs", type=positive_int, default=os.cpu_count(), help="models at a time")
    parser.add_argument("--test_dataset", help="corpus for the test (default: a part of --dataset)")
    parser.add_argument("--picture", type=Path, help="picture to write (default: none)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        return _compare(arguments, (arguments.work_dir or Path(temporary)).resolve())


def _compare(arguments: argparse.Namespace, work: Path) -> int:
    comparison = _Comparison(arguments, work)
    weights = {method: comparison.weights(method) for method in arguments.methods}
    records = comparison.records(range(1, arguments.seeds + 1))
    conditions = {
        "dataset": Path(arguments.dataset).name,
        "test": "a part of the dataset"
        if arguments.test_dataset is None
        else Path(arguments.test_dataset).name,
        "rows of a step": arguments.batch_size,
        "tokens of a row": arguments.sample_length,
        "steps of each model": arguments.steps,
        "steps of each model in the search": arguments.weights_from or arguments.steps,
        "tokens of each model": arguments.steps * arguments.batch_size * arguments.sample_length,
    }
    if arguments.picture is not None:
        draw(records, arguments.picture)
    report = Report("comparison", "the uniform mixture", conditions, tuple(figures_of(weights, records)))
    return publish(report, arguments.output)


class _Comparison:
    """The commands of one length of training, in one work directory."""

    def __init__(self, arguments: argparse.Namespace, work: Path) -> None:
        self._arguments, self._work = arguments, work
        self._directory = self._work / f"steps-{arguments.steps}"
        self._directory.mkdir(parents=True, exist_ok=True)
        searched = arguments.weights_from or arguments.steps
        self._weights = self._work / f"steps-{searched}" / "weights"
        split_corpus(arguments.dataset, self._work / "text")
        model = self._work / "model.json"
        if not model.exists():
            given = arguments.model
            model.write_text(json.dumps(MODEL) if given is None else given.read_text())
        self._text = ["--dataset", "text/main", "--packed_dir", "packed", "--heldout_share", "0.15"]
        length = str(arguments.sample_length)
        self._training = [
            *self._text, "--model", "model.json", "--vocab_size", "4096", "--sample_length", length,
            "--batch_size", str(arguments.batch_size), "--learning_rate", arguments.learning_rate,
        ]  # fmt: skip
        self._lock = Lock()
        self._path = self._directory / "records.json"
        self._records: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}

    def weights(self, method: str) -> dict[str, Any]:
        """The content of a method's weights file."""
        path = self._weights / f"{method}.json"
        if not path.exists():
            if self._arguments.weights_from is not None:
                raise SystemExit(
                    f"there is no {path}; find weights with --steps {self._arguments.weights_from}"
                )
            path.parent.mkdir(exist_ok=True)
            if method == "law-short":
                self.weights("law")
            elif method in _CHAMELEON:
                self._weights_by_chameleon(method, path)
            else:
                self._weights_by_method(method, path)
        content: dict[str, Any] = json.loads(path.read_text())
        return content

    def _weights_by_method(self, method: str, path: Path) -> None:
        steps, directory = self._arguments.steps, str(self._directory / "methods")
        if method in _RULES:
            self._command("-m", "chameleon", "methods", method, *self._text,
                          "--vocab_size", "4096", "--output", str(path))  # fmt: skip
            return
        # DoReMi trains a reference and a proxy, DoGE a proxy whose steps cost twice those of training.
        own = {
            "law": ["--max_steps", str(steps), "--lengths", "0.25,1"],
            "regmix": ["--max_steps", str(max(1, _LAW_RUNS * steps // 24)), "--num_runs", "24"],
            "doremi": ["--max_steps", str(_LAW_RUNS * steps // 3), "--num_seeds", "2"],
            "doge": ["--max_steps", str(_LAW_RUNS * steps // 2), "--num_seeds", "2"],
        }[method]  # fmt: skip
        tokens = str(self._arguments.eval_tokens)
        engine = ["--engine", "processes", "--num_workers", str(self._arguments.jobs)]
        parallel = [*engine, "--max_heldout_tokens", tokens] if method in ("law", "regmix") else []
        self._command(
            "-m", "chameleon", "methods", method, *self._training, *own, *parallel, "--output_dir", directory,
            "--output", str(path),
        )  # fmt: skip
        if method == "law":
            self._split_law(path)

    def _split_law(self, path: Path) -> None:
        """Write the law's best mixture, whether its gain is certain or not, and that of its short runs."""
        content = json.loads(path.read_text())
        facts, short = content["domains"], content["diagnostics"]["lengths"][0]
        content["weights"] = {
            name: facts[name].get("law_weight", share) for name, share in content["weights"].items()
        }
        write_atomically(path, json.dumps(content).encode())
        share = short["tokens"] / sum(each["tokens"] for each in content["diagnostics"]["lengths"])
        cost = {name: value * share for name, value in content["diagnostics"]["cost"].items()}
        diagnostics = {**short, "cost": {**cost, "tokens": round(cost["tokens"])}}
        weights = {"weights": short["weights"], "diagnostics": diagnostics}
        write_atomically(path.with_name("law-short.json"), json.dumps(weights).encode())

    def _weights_by_chameleon(self, method: str, path: Path) -> None:
        self.weights("law")  # its first run is the proxy
        mode, _, recipe = method.partition("-")
        proxy, begin = self._directory / "methods" / "law" / "uniform", perf_counter()
        self._command(
            str(SCRIPT), "--mode", mode, "--recipe", recipe or "default", "--dataset", "text/main",
            "--checkpoint_path", str(proxy), "--sample_length", str(self._arguments.sample_length),
            "--embeddings_dir", str(self._directory / "embeddings"), "--output", str(path),
        )  # fmt: skip
        content = json.loads(path.read_text())
        rows = np.array([self._arguments.steps * self._arguments.batch_size])
        cost = training_cost(proxy, rows, self._arguments.sample_length, 3) + Cost(
            seconds=perf_counter() - begin
        )
        content["diagnostics"]["cost"] = cost.to_dict()
        path.write_text(json.dumps(content))

    def records(self, seeds: range) -> dict[str, Any]:
        """What is known of each model, by method and seed; the missing ones are trained."""
        methods = self._arguments.methods
        with ThreadPoolExecutor(self._arguments.jobs) as pool:
            for seed in seeds:
                missing = [method for method in methods if f"{method}-{seed}" not in self._records]
                for step in (self._train, self._measure):  # one after the other: all are beside uniform
                    list(pool.map(step, missing, [seed] * len(missing)))
        names = [f"{method}-{seed}" for seed in seeds for method in methods]
        return {name: self._records[name] for name in names}

    def _directory_of(self, method: str, seed: int) -> Path:
        return self._directory / "models" / f"{method}-{seed}"

    def _train(self, method: str, seed: int) -> None:
        directory = self._directory_of(method, seed)
        if not (directory / "config.json").exists():
            resume = ["--resume"] if (directory / "training.json").exists() else []
            self._command(
                "-m", "chameleon", "train", *self._training, "--max_steps", str(self._arguments.steps),
                "--weights", str(self._weights / f"{method}.json"), "--seed", str(seed),
                "--output_dir", str(directory), *resume,
            )  # fmt: skip

    def _measure(self, method: str, seed: int) -> None:
        """Evaluate a model, beside the uniform one of its seed if there is one, and record its losses."""
        directory, baseline = self._directory_of(method, seed), self._directory_of(BASELINE, seed)
        output = directory / "test.json"
        both = [baseline] if baseline != directory and (baseline / "config.json").exists() else []
        length = str(self._arguments.sample_length)
        self._command(
            "-m", "chameleon", "evaluate", *map(str, both), str(directory), "--output", str(output),
            "--dataset", self._arguments.test_dataset or "text/test", "--packed_dir", "packed",
            "--heldout_share", "1", "--sample_length", length, "--max_tokens",
            str(self._arguments.eval_tokens),
        )  # fmt: skip
        domains = json.loads(output.read_text())["checkpoints"][-1]["domains"]
        record: dict[str, Any] = {"losses": {name: facts["loss"] for name, facts in domains.items()}}
        if both:
            record["against_uniform"] = {
                domain: [facts["loss_against_first"], facts["loss_against_first_standard_error"]]
                for domain, facts in domains.items()
            }
        with self._lock:
            self._records[f"{method}-{seed}"] = record
            write_atomically(self._path, (json.dumps(self._records, indent=1) + "\n").encode())

    def _command(self, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if self._arguments.jobs > 1:
            environment["OMP_NUM_THREADS"] = "1"
        run = subprocess.run(
            [sys.executable, *arguments], cwd=self._work, env=environment, capture_output=True, text=True
        )
        if run.returncode:
            raise SystemExit(f"{' '.join(arguments[:4])} failed: {run.stderr[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
