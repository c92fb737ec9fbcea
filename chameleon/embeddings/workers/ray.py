"""Workers that are actors of a Ray cluster.

Ray neither restarts actors nor retries their tasks: a replacement without room on the remaining nodes
would hold its shard for ever. The driver assigns the shard to another worker instead.
"""

import os
import re
import signal
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import chameleon
from chameleon.common.errors import InputError
from chameleon.embeddings.workers.messages import Shard, WorkerEvent, WorkerSetup

_SECONDS_TO_CONNECT = 5.0
_SECONDS_TO_ANSWER = 20.0
_SECONDS_TO_WAIT = 1.0

# RFC 9113, 3.4: a client begins with these, the last of them an empty frame (of type 4) of settings.
_HTTP2_SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _HTTP2_SETTINGS

# While no worker is ready: until a note is shown, and until the run fails.
_SECONDS_TO_NOTE = 60.0
_SECONDS_WITHOUT_ROOM = 1800.0
_SEE_STATUS = "`ray status` shows what is free"

# Workers find data and checkpoints where this process does. Tokens stay here: others would see them.
_PASSED_ON = (
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HF_DATASETS_OFFLINE",
    "TRANSFORMERS_OFFLINE",
)


@dataclass
class _Actor:
    """An actor with the task that it runs; None while it has none."""

    handle: Any
    task: Any
    is_starting: bool


class RayPool:
    """A pool with an actor for each worker."""

    def __init__(self, setup: WorkerSetup, size: int | None, gpus: float | None, address: str | None) -> None:
        """Connect to the cluster, or start one on this machine that only it can reach.

        Args:
            setup: What the workers need to know.
            size: Number of workers (default: as many as have room).
            gpus: GPUs of each (default: 1 where the cluster has any and the device may be one).
            address: Host and port of a running cluster.

        Raises:
            InputError: Ray is not installed, the address cannot be reached, or no worker has room.
        """
        self._ray = connected(address)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if gpus is None:
            has_any = any(node.get("GPU", 0) for node in nodes)
            gpus = 1.0 if has_any and setup.device.partition(":")[0] in ("auto", "cuda") else 0.0
        if gpus == 0 and setup.device == "auto":
            setup = replace(setup, device="cpu")
        elif gpus and ":" in setup.device:
            raise InputError(
                f"--device {setup.device} is for this machine alone; use cuda: Ray assigns GPUs to workers"
            )
        self._setup = setup if gpus else replace(setup, threads=1)
        room = sum(
            int(min(node.get("CPU", 0), node.get("GPU", 0) / gpus if gpus else node.get("CPU", 0)))
            for node in nodes
        )
        if room < 1:
            each = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
            self._ray.shutdown()
            raise InputError(
                f"no node of the Ray cluster has room for a worker of 1 CPU and {gpus:g} GPUs (they have "
                f"{each}); change --num_gpus_per_worker (0 for CPUs)"
            )
        self._actor_class = self._ray.remote(max_restarts=0, max_task_retries=0, num_gpus=gpus, num_cpus=1)(
            _RemoteWorker
        )
        self.size = room if size is None else size
        self._actors: dict[int, _Actor] = {}
        self._has_noted = False

    def start(self, worker: int) -> None:
        """Request an actor, wherever there is room."""
        self._end(worker)
        handle = self._actor_class.remote(self._setup)
        self._actors[worker] = _Actor(handle, handle.info.remote(), is_starting=True)

    def assign(self, worker: int, shard: Shard) -> None:
        """Send a shard to a worker."""
        actor = self._actors[worker]
        actor.task = actor.handle.embed.remote(shard)

    def wait(self) -> list[WorkerEvent]:
        """Wait until something happens, and return what."""
        by_task = {actor.task: worker for worker, actor in self._actors.items() if actor.task is not None}
        ready: list[Any] = []
        begin = monotonic()
        while not ready:
            ready, _ = self._ray.wait(list(by_task), timeout=_SECONDS_TO_WAIT)
            waited = monotonic() - begin
            if ready or not all(self._actors[worker].is_starting for worker in by_task.values()):
                continue
            if waited > _SECONDS_WITHOUT_ROOM:
                words = f"no worker could be started on the Ray cluster in {waited / 60:.0f} minutes"
                return [
                    WorkerEvent(min(by_task.values()), "failed", f"{words}; {_SEE_STATUS}, and start again")
                ]
            if waited > _SECONDS_TO_NOTE and not self._has_noted:
                self._has_noted = True
                return [
                    WorkerEvent(
                        min(by_task.values()), "note", f"waiting for room on the Ray cluster; {_SEE_STATUS}"
                    )
                ]
        events: list[WorkerEvent] = []
        for task in ready:
            worker = by_task[task]
            actor = self._actors[worker]
            actor.task, actor.is_starting = None, False
            try:
                kind, value, notes = self._ray.get(task)
            except self._ray.exceptions.RayError as error:
                self._end(worker)
                events.append(WorkerEvent(worker, "ended", _cause_of(error)))
                continue
            events += [WorkerEvent(worker, "note", note) for note in notes]
            if kind == "unusable":
                self._end(worker)
            events.append(WorkerEvent(worker, kind, value))
        return events

    def _end(self, worker: int) -> None:
        actor = self._actors.pop(worker, None)
        if actor is not None:
            self._ray.kill(actor.handle)

    def close(self) -> None:
        """End all workers and leave the cluster."""
        for worker in list(self._actors):
            self._end(worker)
        self._ray.shutdown()


class _RemoteWorker:
    """An actor. Errors are returned as messages, since not all of them can be sent."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._notes: list[str] = []

    def info(self) -> tuple[str, object, list[str]]:
        """Open corpus and proxy, and say what the worker is."""
        from chameleon.common.libraries import loading_libraries

        try:
            with loading_libraries():
                from chameleon.embeddings.workers.worker import open_worker
            # Open until the actor is ended.
            self._context = open_worker(self._setup, self._notes.append)
            self._worker, self._info = self._context.__enter__()
        except InputError as error:
            return "failed", str(error), []
        except ImportError as error:
            return "failed", f"{error} on {socket.gethostname()}; install the same on all machines", []
        return "ready", self._info, self._new_notes()

    def embed(self, shard: Shard) -> tuple[str, object, list[str]]:
        """Embed a shard."""
        from chameleon.embeddings.pieces import CannotWriteError

        try:
            results = self._worker.embed(shard)
        except CannotWriteError as error:
            return "unusable", f"{self._info.host}: {error}", self._new_notes()
        except InputError as error:
            return "failed", str(error), self._new_notes()
        return "done", results, self._new_notes()

    def _new_notes(self) -> list[str]:
        notes, self._notes[:] = list(self._notes), []
        return notes


def connected(address: str | None) -> Any:  # noqa: ANN401
    """The library Ray, connected to a cluster, or to a new one on this machine where address is None."""
    # Ray reads these when it is imported, and so do the processes that it starts.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address is None:
        # As on desktops: all processes of Ray listen on loopback alone.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError:
        raise InputError(
            '--engine ray needs the library Ray: pip install ".[ray]" in the project\'s directory'
        ) from None
    if address is not None and address != "auto":
        _require_reachable(address)
    package = str(Path(chameleon.__file__).parent.parent)
    settings: dict[str, Any] = {
        "logging_level": "ERROR",
        "log_to_driver": False,
        "runtime_env": {"env_vars": _environment(package)},
    }
    if address is None:
        settings |= {"address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    else:
        settings["address"] = address
    on_termination = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**settings)
        signal.signal(signal.SIGTERM, on_termination)  # Ray replaces it
    except Exception as error:  # Ray raises many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"the Ray cluster {'here' if address is None else address} cannot be joined ({reason}); check "
            "`ray status`, and that all machines have the same versions of Ray and Python"
        ) from None
    return ray


def _require_reachable(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "://" in address:
        raise InputError(f"expected --ray_address host:port, such as 10.0.0.1:6379, or auto; got {address}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_CONNECT) as connection:
            has_tls = os.environ.get("RAY_USE_TLS", "").lower() in ("1", "true")
            is_served = has_tls or _speaks_http2(connection)
    except OSError as error:
        raise InputError(
            f"there is no Ray cluster at {address} ({error}); start one by `ray start --head`, or leave "
            "--ray_address out for one on this machine"
        ) from None
    if not is_served:
        raise InputError(
            f"what listens at {address} is not the head of a Ray cluster; use the address that `ray start "
            "--head` printed (port 6379 by default, not that of the dashboard)"
        )


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether a server speaks gRPC as Ray does, by the settings frame that its protocol begins with.

    Ray itself would try to connect for more than a minute.
    """
    connection.settimeout(_SECONDS_TO_ANSWER)
    connection.sendall(_HTTP2_PREFACE)
    answer = b""
    try:
        while len(answer) < len(_HTTP2_SETTINGS) and (part := connection.recv(64)):
            answer += part
    except (TimeoutError, ConnectionResetError):
        return False
    return answer[3:4] == _HTTP2_SETTINGS[3:4]


def _environment(package: str) -> dict[str, str]:
    """Environment variables of workers, which import this program and find its data where it does."""
    path = os.environ.get("PYTHONPATH")
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {"PYTHONPATH": package if not path else f"{package}{os.pathsep}{path}", **passed_on}


def _cause_of(error: Exception) -> str:
    """Why an actor ended, on one line without colours."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", str(cause)).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else ''}"[:200]
