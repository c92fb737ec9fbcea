"""Faults that befall processes of this machine at random: workers are killed while a command runs."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_SLICE = 0.2


def while_running(run: subprocess.Popen[bytes], fault: Callable[[], bool]) -> int:
    """Let faults come until it is over, as often as their chance has it; how many came."""
    number = 0
    while run.poll() is None:
        time.sleep(_SLICE)
        number += fault()
    return number


def until(run: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
    """Wait until something has happened or it is over."""
    while run.poll() is None and not happened():
        time.sleep(0.02)


def kill_one(workers: Sequence[int], chance: random.Random) -> bool:
    """Kill one of some processes, once in fifteen seconds on average; whether one was."""
    if not workers or chance.random() >= _SLICE / 15:
        return False
    try:
        os.kill(chance.choice(workers), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def kill_a_child(pid: int, chance: random.Random) -> bool:
    """Kill a worker of a command of this number, at random; whether one was."""
    return kill_one(_children(pid), chance)


def _children(pid: int) -> list[int]:
    """Workers of a command: children of the one child of it that has the libraries loaded."""
    every = list(_processes())
    servers = {child for child, parent, words in every if parent == pid and "forkserver" in words}
    return [child for child, parent, _ in every if parent in servers]


def ray_actors() -> list[int]:
    """Numbers of the processes that are workers of Ray."""
    return [pid for pid, _, words in _processes() if words.startswith("ray::_RemoteWorker")]


def _processes() -> Iterator[tuple[int, int, str]]:
    """Number, parent's number and command line of what runs on this machine (Linux alone)."""
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        yield int(place.name), parent, words
