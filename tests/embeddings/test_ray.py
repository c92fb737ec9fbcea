"""Workers that are actors of a Ray cluster."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import SCRIPT
from engine_helpers import N, embed_by_engine, embed_serially, flags, options_for, require_same_files

from chameleon.common.errors import InputError
from chameleon.embeddings.workers import ray as ray_cluster
from chameleon.embeddings.workers.messages import Shard


@pytest.fixture(scope="module")
def serial(corpus_directory: Path, checkpoint: Path) -> Path:
    return embed_serially(corpus_directory, checkpoint)


def test_ray_that_is_not_installed(
    tmp_path: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    options = options_for(corpus_directory, checkpoint, tmp_path, engine="ray")
    with pytest.raises(InputError, match=r"Ray: pip install \"\.\[ray\]\" in the project's directory"):
        embed_by_engine(options, 3)


def test_ray_workers_look_for_data_where_this_process_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("HF_", "TRANSFORMERS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", "/shared/hub")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", "/mine")
    environment = ray_cluster._environment("/here")
    assert environment == {"PYTHONPATH": f"/here{os.pathsep}/mine", "HF_HOME": "/shared/hub"}


def test_a_cluster_that_is_not_there(tmp_path: Path, corpus_directory: Path, checkpoint: Path) -> None:
    with closing(socket.socket()) as taken:  # nobody else can listen there
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        options = options_for(corpus_directory, checkpoint, tmp_path, engine="ray", ray_address=address)
        with pytest.raises(InputError, match=f"there is no Ray cluster at {address}"):
            embed_by_engine(options, 3)


@pytest.mark.parametrize(
    ("answer", "is_ray"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"", False),
        (None, False),
        (b"\0\0\6\4\0\0\0\0\0\0\4\0\x10\0\0", True),
    ],
    ids=["another protocol", "hangs up", "says nothing", "as gRPC begins"],
)
def test_an_open_port_that_is_not_ray_s(
    answer: bytes | None, is_ray: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer is None:
        monkeypatch.setattr(ray_cluster, "_SECONDS_TO_ANSWER", 0.5)
    with closing(socket.create_server(("127.0.0.1", 0))) as server, closing_all() as accepted:

        def serve() -> None:
            connection, _ = server.accept()
            accepted.append(connection)
            connection.recv(99)
            if answer is not None:
                with suppress(OSError):  # who asked may have gone
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        expected = nullcontext() if is_ray else pytest.raises(InputError, match=f"{address} is not the head")
        with expected:
            ray_cluster._require_reachable(address)
        thread.join()


@pytest.mark.parametrize("value", ["1", "True"])
def test_a_cluster_with_tls_is_not_asked_in_plain_text(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", value)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:  # which says nothing
        ray_cluster._require_reachable(f"127.0.0.1:{server.getsockname()[1]}")


@contextmanager
def closing_all() -> Iterator[list[socket.socket]]:
    """Connections, closed in the end."""
    connections: list[socket.socket] = []
    yield connections
    for connection in connections:
        connection.close()


# A cluster of three nodes on this machine


@contextmanager
def cluster_of(nodes: int) -> Iterator[Any]:
    """A cluster: a head without workers, and nodes with room for one each."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False},
        shutdown_at_exit=False,
    )
    try:
        cluster.others = [cluster.add_node(num_cpus=1) for _ in range(nodes)]
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_with_faults_makes_the_same_bits(
    tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chameleon.embeddings.workers.ray import RayPool

    assign = RayPool.assign
    with cluster_of(2) as cluster:
        for fault in ("none", "worker", "node"):
            assigned: list[int] = []

            def with_fault(
                self: RayPool, worker: int, shard: Shard, fault: str = fault, assigned: list[int] = assigned
            ) -> None:
                assign(self, worker, shard)
                assigned.append(worker)
                if len(assigned) == 3 and fault == "worker":
                    self._ray.kill(self._actors[worker].handle)
                if len(assigned) == 3 and fault == "node":
                    for actor in self._actors.values():  # there is one on each node
                        self._ray.get(actor.handle.__ray_ready__.remote())
                    cluster.remove_node(cluster.others[1], allow_graceful=False)
                    while sum(node["Alive"] for node in self._ray.nodes()) == 3:
                        time.sleep(0.05)

            monkeypatch.setattr(RayPool, "assign", with_fault)
            notes: list[str] = []
            directory = tmp_path / fault
            options = options_for(
                corpus_directory, checkpoint, directory, engine="ray", ray_address=cluster.address
            )
            embed_by_engine(options, N, notes.append)
            require_same_files(directory, serial)
            assert len(assigned) > 5
            assert any("a worker died" in each for each in notes) == (fault != "none"), notes


@pytest.mark.slow
def test_ray_on_this_machine_opens_no_port_to_others(
    tmp_path: Path, serial: Path, corpus_directory: Path, checkpoint: Path
) -> None:
    # A process that only drives workers needs none of the libraries that compute.
    code = (
        "import sys, compute_chameleon_weights as script\n"
        "assert script.main(sys.argv[1:]) == 0\n"
        "assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)\n"
    )
    arguments = [sys.executable, "-c", code, *flags(corpus_directory, checkpoint, "--num_samples", str(N))]
    engine = ["--engine", "ray", "--num_workers", "2", "--num_gpus_per_worker", "0"]
    with (tmp_path / "stderr").open("w") as errors:
        run = subprocess.Popen(
            [*arguments, *engine],
            cwd=tmp_path,
            stderr=errors,
            stdout=subprocess.DEVNULL,
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "PYTHONPATH": str(SCRIPT.parent),
                "RUN_OF_THIS_TEST": str(tmp_path),
            },
        )
        seen: set[tuple[str, int]] = set()
        while run.poll() is None:
            seen |= open_ports(f"RUN_OF_THIS_TEST={tmp_path}")
            time.sleep(0.2)
    assert run.returncode == 0, (tmp_path / "stderr").read_text()
    require_same_files(tmp_path / "embeddings", serial)
    assert seen, "none was seen open, not even on loopback"
    assert {host for host, _ in seen} <= {"127.0.0.1", "::1"}


def open_ports(variable: str) -> set[tuple[str, int]]:
    """Addresses on which processes listen that have this NAME=value in their environment."""
    sockets = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end meanwhile
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                for descriptor in (process / "fd").iterdir():
                    with suppress(OSError):
                        sockets.add(str(descriptor.readlink()))
    found = set()
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
        path = Path("/proc/net") / table
        if not path.exists():
            continue
        for line in path.read_text().splitlines()[1:]:
            _, local, _, state, *others = line.split()
            address, port = local.split(":")
            if state == "0A" and f"socket:[{others[5]}]" in sockets:
                # A v4 address may be written as a v6 one; each four bytes stand the other way round.
                is_loopback = address == loopback or address.endswith("0100007F")
                found.add(("127.0.0.1" if is_loopback else address, int(port, 16)))
    return found
