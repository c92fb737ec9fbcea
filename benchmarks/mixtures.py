"""Two models on opposite mixtures, each evaluated on the domains it saw more and less of.

Runs the real commands: one model takes four fifths of its tokens from one half of the domains, the other
model from the other half. Reports the differences of held-out loss, with their standard errors.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import ROOT, Figure, Report, command_line, positive_int, publish
from chameleon.text.corpora import CorpusRequest, open_corpus

SHARE = 0.8
MODEL = {
    "model_type": "gpt2", "vocab_size": 4096, "n_positions": 256, "n_embd": 128, "n_layer": 4, "n_head": 4,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Train, evaluate and report."""
    parser = command_line(__doc__)
    parser.add_argument("--steps", type=positive_int, default=400, help="of each model (default: 400)")
    arguments = parser.parse_args(argv)
    names = [domain.name for domain in open_corpus(CorpusRequest(arguments.dataset)).domains]
    halves = (names[::2], names[1::2])
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "model.json").write_text(json.dumps(MODEL))
        for number, more in enumerate(halves):
            shares = {
                each: SHARE / len(more) if each in more else (1 - SHARE) / (len(names) - len(more))
                for each in names
            }
            (directory / f"{number}.json").write_text(json.dumps(shares))
            _command(
                "train", "--dataset", arguments.dataset, "--model", str(directory / "model.json"),
                "--vocab_size", "4096", "--sample_length", "256", "--batch_size", "8",
                "--learning_rate", "2e-3",
                "--weights", str(directory / f"{number}.json"), "--max_steps", str(arguments.steps),
                "--heldout_share", "0.1", "--packed_dir", str(directory / "packed"),
                "--output_dir", str(directory / f"model{number}"),
            )  # fmt: skip
        _command(
            "evaluate", str(directory / "model0"), str(directory / "model1"),
            "--dataset", arguments.dataset, "--packed_dir", str(directory / "packed"),
            "--output", str(directory / "e.json"),
        )  # fmt: skip
        second = json.loads((directory / "e.json").read_text())["checkpoints"][1]["domains"]
    figures = []
    for name, facts in second.items():
        # The other model's loss less that of the one that saw more of the domain.
        gain = facts["loss_against_first"] * (1 if name in halves[0] else -1)
        error = facts["loss_against_first_standard_error"]
        figures.append(Figure(f"{name}: loss saved by seeing more of it", gain, "nats", at_least=0))
        if error is not None:
            figures.append(Figure("    standard error", error, "nats"))
    conditions = {
        "more of, first": ", ".join(halves[0]),
        "more of, second": ", ".join(halves[1]),
        "share of tokens": SHARE,
        "steps": arguments.steps,
    }
    return publish(
        Report("mixtures", "the same model on the opposite mixture", conditions, tuple(figures)),
        arguments.output,
    )


def _command(command: str, *flags: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "chameleon", command, *flags], cwd=ROOT, check=True, capture_output=True
    )


if __name__ == "__main__":
    sys.exit(main())
