"""Workers that are processes of this machine."""

import multiprocessing
import signal
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from time import monotonic
from typing import Any

from chameleon.common.errors import InputError
from chameleon.embeddings.pieces import CannotWriteError
from chameleon.embeddings.workers.messages import EventKind, Shard, WorkerEvent, WorkerSetup

_SECONDS_TO_END = 5.0
_SECONDS_FOR_EXIT_CODE = 60.0


def prepare() -> None:
    """Start a process that loads the libraries of workers, so that these start at once."""
    multiprocessing.set_forkserver_preload(["chameleon.embeddings.workers.preloaded"])
    forkserver.ensure_running()


class Processes:
    """A pool with a process for each worker; GPUs are dealt out in turn."""

    def __init__(self, setup: WorkerSetup, size: int, devices: list[str]) -> None:
        """Set up; nothing is started yet.

        Args:
            setup: What the workers need to know.
            size: Number of workers.
            devices: Devices to deal out in turn.
        """
        self.size = size
        self._setup, self._devices = setup, devices
        # Forks of a process with the libraries loaded start at once.
        self._context = multiprocessing.get_context("forkserver")
        self._running: dict[int, tuple[ForkServerProcess, Connection]] = {}

    def start(self, worker: int) -> None:
        """Start a worker."""
        self._end(worker)
        ours, its = self._context.Pipe()
        setup = replace(self._setup, device=self._devices[worker % len(self._devices)])
        process = self._context.Process(target=_serve, args=(its, setup), daemon=True)
        process.start()
        its.close()
        self._running[worker] = process, ours

    def assign(self, worker: int, shard: Shard) -> None:
        """Send a shard to a worker. If it has died meanwhile, `wait` reports it."""
        try:
            self._running[worker][1].send(shard)
        except OSError:
            return

    def wait(self) -> list[WorkerEvent]:
        """Wait until something happens, and return what."""
        by_connection = {connection: worker for worker, (_, connection) in self._running.items()}
        events = []
        for ready in wait(list(by_connection)):
            assert isinstance(ready, Connection)
            worker = by_connection[ready]
            try:
                kind, value = ready.recv()
            except (EOFError, OSError):
                kind, value = "ended", self._how_it_ended(worker)
            if kind in ("ended", "unusable"):
                self._end(worker)
            events.append(WorkerEvent(worker, kind, value))
        return events

    def _how_it_ended(self, worker: int) -> str:
        process = self._running[worker][0]
        process.join(_SECONDS_FOR_EXIT_CODE)
        code = process.exitcode
        if code is not None and code < 0:
            return f"process {process.pid} by {signal.Signals(-code).name}"
        return f"process {process.pid} with exit code {code}"

    def _end(self, worker: int, seconds: float = 0.0) -> None:
        """End a worker, which gets so many seconds to end by itself."""
        if worker in self._running:
            process, connection = self._running.pop(worker)
            connection.close()
            process.join(seconds)
            process.kill()
            process.join()

    def close(self) -> None:
        """End all workers: those that wait for a shard end when the connection closes."""
        for _, connection in self._running.values():
            connection.close()
        deadline = monotonic() + _SECONDS_TO_END
        for worker in list(self._running):
            self._end(worker, max(0.0, deadline - monotonic()))


def _serve(connection: Connection, setup: WorkerSetup) -> None:
    """Run a worker until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver ends the worker
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def send(kind: EventKind, value: object) -> None:
        connection.send((kind, value))

    try:
        serve(setup, send, connection.recv)
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the driver is gone
        return


def serve(setup: WorkerSetup, send: Callable[[EventKind, Any], None], receive: Callable[[], Shard]) -> None:
    """Open corpus and proxy, report it, and embed every shard that is received."""
    from chameleon.embeddings.workers.worker import open_worker

    try:
        with open_worker(setup, lambda text: send("note", text)) as (worker, info):
            send("ready", info)
            while True:
                shard = receive()
                try:
                    send("done", worker.embed(shard))
                except CannotWriteError as error:
                    send("unusable", f"{info.host}: {error}")
                    return
    except InputError as error:
        send("failed", str(error))
