"""Workers that are actors of a Ray cluster.

Actors are neither restarted nor their tasks tried again by Ray: a replacement that finds no room on the
nodes that are left would hold its shard for ever. The driver gives the shard to another worker.
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


# Without a worker that is ready: until that is said, and until the run ends.
_SECONDS_TO_TELL = 60.0


_SECONDS_WITHOUT_ROOM = 1800.0


_SEE_STATUS = "`ray status` shows what is free"


_INSTALL = 'pip install "chameleon[ray]"'


# Workers find data and checkpoints where this process does. Tokens stay here: others would see them.
_HANDED_ON = (
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
    """An actor, what it is doing, and whether that is its start."""

    handle: Any
    doing: Any
    is_starting: bool


class RayPool:
    """An actor for each worker."""

    def __init__(self, setup: WorkerSetup, size: int | None, gpus: float | None, address: str | None) -> None:
        """Connect to the cluster, or start one on this machine that only it can reach.

        Args:
            setup: What the workers need to know.
            size: How many workers; by default as many as there is room for.
            gpus: GPUs of each; by default 1 where the cluster has any and the device is none other.
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
                f"--device {setup.device} is for this machine; Ray gives each worker its GPUs: cuda"
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
        self._is_told = False

    def start(self, worker: int) -> None:
        """Ask for an actor, wherever there is room."""
        self._end(worker)
        handle = self._actor_class.remote(self._setup)
        self._actors[worker] = _Actor(handle, handle.hello.remote(), is_starting=True)

    def assign(self, worker: int, shard: Shard) -> None:
        """Have a worker make a shard."""
        actor = self._actors[worker]
        actor.doing = actor.handle.embed.remote(shard)

    def wait(self) -> list[WorkerEvent]:
        """What happened."""
        by_task = {actor.doing: worker for worker, actor in self._actors.items() if actor.doing is not None}
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
            if waited > _SECONDS_TO_TELL and not self._is_told:
                self._is_told = True
                return [
                    WorkerEvent(
                        min(by_task.values()), "note", f"waiting for room on the Ray cluster; {_SEE_STATUS}"
                    )
                ]
        events: list[WorkerEvent] = []
        for task in ready:
            worker = by_task[task]
            actor = self._actors[worker]
            actor.doing, actor.is_starting = None, False
            try:
                kind, value, notes = self._ray.get(task)
            except self._ray.exceptions.RayError as error:
                self._end(worker)
                events.append(WorkerEvent(worker, "ended", _how(error)))
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
    """An actor: errors come back as words, since not all of them can be sent."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._notes: list[str] = []

    def hello(self) -> tuple[str, object, list[str]]:
        """Open corpus and proxy."""
        from chameleon.common.libraries import loading_libraries

        try:
            with loading_libraries():
                from chameleon.embeddings.workers.worker import open_worker
            # Open until the actor is ended.
            self._context = open_worker(self._setup, self._notes.append)
            self._worker, self._hello = self._context.__enter__()
        except InputError as error:
            return "failed", str(error), []
        except ImportError as error:
            return "failed", f"{error} on {socket.gethostname()}; install the same on all machines", []
        return "ready", self._hello, self._told()

    def embed(self, shard: Shard) -> tuple[str, object, list[str]]:
        """Make a shard."""
        from chameleon.embeddings.pieces import CannotWriteError

        try:
            made = self._worker.embed(shard)
        except CannotWriteError as error:
            return "unusable", f"{self._hello.host}: {error}", self._told()
        except InputError as error:
            return "failed", str(error), self._told()
        return "done", made, self._told()

    def _told(self) -> list[str]:
        told, self._notes[:] = list(self._notes), []
        return told


def connected(address: str | None) -> Any:  # noqa: ANN401
    """The library, connected."""
    # Read when the library is imported, and by the processes that it starts.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address is None:
        # As Ray does on desktops: all its processes listen on loopback alone.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError:
        raise InputError(f"--engine ray needs the library Ray: {_INSTALL}") from None
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
        signal.signal(signal.SIGTERM, on_termination)  # the library puts its own in its place
    except Exception as error:  # the library's own, or of what it is made of
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"the Ray cluster {'here' if address is None else address} cannot be joined ({reason}); look at "
            "`ray status`, and that all machines have one version of Ray and Python"
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
            f"what listens at {address} is not the head of a Ray cluster; name the address that `ray start "
            "--head` told (port 6379 if none was given, not the dashboard's)"
        )


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether a server answers as Ray's do, which speak gRPC: by the settings that its protocol begins with.

    Ray itself would try for more than a minute.
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
    """The variables of workers: they import this program, and look for what it reads where it does."""
    path = os.environ.get("PYTHONPATH")
    handed_on = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    return {"PYTHONPATH": package if not path else f"{package}{os.pathsep}{path}", **handed_on}


def _how(error: Exception) -> str:
    """How an actor ended, on one line without colours."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", str(cause)).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else ''}"[:200]
