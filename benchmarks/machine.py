"""What benchmarks share: flags, medians, memory of a process, and reports with the machine and commit."""

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from chameleon.common.command_line import positive_int as positive_int
from chameleon.common.machine import available_cores
from chameleon.text.corpora import CorpusRequest, open_corpus

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "compute_chameleon_weights.py"
_SAMPLE = ROOT.parent / "shared" / "data" / "redpajama_sample"


@dataclass(frozen=True)
class Figure:
    """One number of a report.

    Attributes:
        name, value, unit: Number and what it measures; `unit` may be empty.
        at_least, at_most: Target, if there is one.
    """

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def verdict(self) -> str:
        """The target and whether it is met; empty without a target."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}: {'met' if self.value >= self.at_least else 'MISSED'}"
        if self.at_most is not None:
            return f"at most {self.at_most:g}: {'met' if self.value <= self.at_most else 'MISSED'}"
        return ""


@dataclass(frozen=True)
class Report:
    """Outcome of one benchmark: what was measured, under which conditions, and the figures."""

    benchmark: str
    baseline: str
    conditions: dict[str, Any]
    figures: tuple[Figure, ...]


def command_line(description: str) -> argparse.ArgumentParser:
    """A parser with the flags that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    dataset = os.path.relpath(_SAMPLE) if _SAMPLE.is_dir() else "builtin"
    parser.add_argument("--dataset", default=dataset, help=f"corpus (default: {dataset})")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the report as JSON too")
    return parser


def texts_of(dataset: str) -> dict[str, list[str]]:
    """All documents of a corpus by domain."""
    return {
        domain.name: [
            content[0 : len(content)].decode()
            for index in range(len(domain.text.unit_keys))
            for content in domain.text.unit(index).documents()
        ]
        for domain in open_corpus(CorpusRequest(dataset)).domains
    }


def medians(rows: Iterable[Sequence[float]]) -> list[float]:
    """The median of each column, where a row is one repeat with all measurements that are compared."""
    return [median(column) for column in zip(*rows, strict=True)]


def reset_peak() -> float:
    """Bytes of memory in use by this process; its peak is counted from here on (Linux only)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory_status("VmRSS")


def peak() -> float:
    """Peak memory of this process in bytes, since `reset_peak`."""
    return _memory_status("VmHWM")


def _memory_status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def publish(report: Report, output: Path | None) -> int:
    """Print a report, write it to `output` if given, and return the exit code."""
    facts = {"commit": _commit(), **_hardware()}
    print(f"{report.benchmark}  (commit {facts['commit']})")
    print(
        f"  {facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads, GPU: {facts['gpu'] or 'none'}"
    )
    print(f"  baseline: {report.baseline}")
    print("  " + ", ".join(f"{name}: {value}" for name, value in report.conditions.items()))
    width = max(len(figure.name) for figure in report.figures)
    for figure in report.figures:
        line = f"  {figure.name:{width}}  {figure.value:>10,.4g} {figure.unit:10}  {figure.verdict}"
        print(line.rstrip())
    print(flush=True)
    if output is not None:
        figures = [asdict(figure) | {"verdict": figure.verdict} for figure in report.figures]
        content = {**facts, **asdict(report), "figures": figures}
        output.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return 0


def _hardware() -> dict[str, Any]:
    # Loaded after the measurements, which may be of start-up time or memory.
    import torch

    return {
        "cpu": _cpu(),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    """The commit, and whether the measured code differs from it."""

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", *arguments]
        try:
            return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
        except FileNotFoundError:
            return ""

    changed = git("status", "--porcelain", "--", "chameleon", SCRIPT.name)
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")
