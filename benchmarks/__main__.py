"""All benchmarks in turn, each in a process of its own, so that none profits from what another loaded."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import ROOT, command_line

BENCHMARKS = (
    "skip_embedding",
    "bootstrap",
    "exact",
    "many",
    "clusters",
    "engines",
    "rounds",
    "memory",
    "reading",
    "design_effect",
    "embedding",
    "bfloat16",
    "packing",
    "training",
    "mixtures",
    "regmix",
    "methods",
    "law",
    "comparison",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run all benchmarks; the exit code is 1 if one of them failed, else 0."""
    arguments = command_line(__doc__).parse_args(argv)
    reports, failed = [], False
    with tempfile.TemporaryDirectory() as directory:
        for name in BENCHMARKS:
            part = Path(directory) / f"{name}.json"
            command = [sys.executable, "-m", f"benchmarks.{name}", "--output", str(part)]
            dataset = Path(arguments.dataset)
            named = str(dataset.resolve()) if dataset.exists() else arguments.dataset
            if subprocess.run([*command, "--dataset", named], cwd=ROOT).returncode:
                failed = True
            else:
                reports.append(json.loads(part.read_text()))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(reports, indent=2, ensure_ascii=False) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
