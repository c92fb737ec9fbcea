"""Kills workers at random while a command runs."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_SLICE = 0.2


def while_running(run: subprocess.Popen[bytes], fault: Callable[[], bool]) -> int:
    """Call `fault` again and again until a run ends; returns how many faults happened."""
    number = 0
    while run.poll() is None:
        time.sleep(_SLICE)
        number += fault()
    return number


def until(run: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
    """Wait until something has happened or the run has ended."""
    while run.poll() is None and not happened():
        time.sleep(0.02)


def kill_one(workers: Sequence[int], chance: random.Random) -> bool:
    """Kill one of some processes, once in fifteen seconds on average; returns whether one was."""
    if not workers or chance.random() >= _SLICE / 15:
        return False
    try:
        os.kill(chance.choice(workers), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def kill_a_child(pid: int, chance: random.Random) -> bool:
    """Kill a random worker of the command with this process id; returns whether one was."""
    return kill_one(_children(pid), chance)


def _children(pid: int) -> list[int]:
    """Workers of a command: children of its child that has the libraries loaded."""
    every = list(_processes())
    servers = {child for child, parent, words in every if parent == pid and "forkserver" in words}
    return [child for child, parent, _ in every if parent in servers]


def ray_actors() -> list[int]:
    """Process ids of Ray's workers."""
    return [pid for pid, _, words in _processes() if words.startswith("ray::_RemoteWorker")]


def _processes() -> Iterator[tuple[int, int, str]]:
    """Id, parent's id and command line of each process of this machine (Linux only)."""
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        yield int(place.name), parent, words
