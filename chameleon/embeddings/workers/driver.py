"""The driver: assigns shards to workers until all are embedded, whatever becomes of the workers."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import cast

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.embeddings.workers.messages import PieceResult, Shard, WorkerEvent, WorkerInfo, WorkerPool

# Workers that may die over one shard, or one after the other in one place.
_MOST_DEATHS = 5
React = Callable[[tuple[PieceResult, ...]], Iterable[Shard]]


class Driver:
    """The workers of a pool. Each shard goes to a free one; if that dies, to another."""

    def __init__(self, pool: WorkerPool) -> None:
        """Start the workers of a pool; `meet` waits for them."""
        self._pool = pool
        self._idle: deque[int] = deque()
        self._busy: dict[int, Shard] = {}
        self._queue: deque[Shard] = deque()
        self._deaths: Counter[Shard] = Counter()
        self._starting = set(range(pool.size))
        self._deaths_in_place: Counter[int] = Counter()
        self._first: WorkerInfo | None = None
        for worker in range(pool.size):
            pool.start(worker)

    @property
    def size(self) -> int:
        """Number of workers."""
        return self._pool.size

    def meet(self, check: Callable[[WorkerInfo], None], notify: Notify) -> WorkerInfo:
        """Wait for a worker that is ready, and return what it is.

        Args:
            check: Raises InputError for a worker that must not be used.
            notify: Receives messages about workers.

        Raises:
            InputError: By the check, or no worker can be started.
        """
        self._check, self._notify = check, notify
        while self._first is None:
            self._handle_events(lambda results: ())
        return self._first

    def carry_out(self, shards: Iterable[Shard], react: React) -> None:
        """Embed all shards, in any order.

        Args:
            shards: What to embed, in the order in which it is assigned.
            react: Receives the results of each shard; returns what to embed because of them.

        Raises:
            InputError: A shard cannot be embedded, or no worker is left that could.
        """
        self._queue.extend(shards)
        while self._queue or self._busy:
            while self._queue and self._idle:
                worker, shard = self._idle.popleft(), self._queue.popleft()
                self._busy[worker] = shard
                self._pool.assign(worker, shard)
            self._handle_events(react)

    def _handle_events(self, react: React) -> None:
        for event in self._pool.wait():
            match event.kind:
                case "ready":
                    self._welcome(event.worker, cast("WorkerInfo", event.value))
                case "progress":
                    self._queue.extend(react(cast("tuple[PieceResult, ...]", event.value)))
                case "done":
                    del self._busy[event.worker]
                    self._deaths_in_place[event.worker] = 0
                    self._idle.append(event.worker)
                    self._queue.extend(react(cast("tuple[PieceResult, ...]", event.value)))
                case "note":
                    self._notify(str(event.value))
                case "failed":
                    raise InputError(str(event.value))
                case "unusable":
                    self._retire(event)
                case "ended":
                    self._replace(event)

    def _welcome(self, worker: int, info: WorkerInfo) -> None:
        """Let a worker that is ready take part."""
        self._check(info)
        if self._first is None:
            self._first = info
        require_same(self._first, info)
        self._starting.discard(worker)
        self._idle.append(worker)

    def _retire(self, event: WorkerEvent) -> None:
        """Continue without a worker."""
        self._release(event.worker)
        if not (self._idle or self._busy or self._starting):
            raise InputError(f"no worker is left: {event.value}")
        self._notify(f"continuing without a worker: {event.value}")

    def _replace(self, event: WorkerEvent) -> None:
        """Start another worker for one that died."""
        shard = self._release(event.worker)
        if shard is not None:
            self._deaths[shard] += 1
            if self._deaths[shard] >= _MOST_DEATHS:
                names = ", ".join(dict.fromkeys(request.domain for request in shard[:3]))
                raise InputError(
                    f"{_MOST_DEATHS} workers died over the same windows of {names} ({event.value}); if "
                    "memory ran out, lower --embedding_batch_size or --num_workers. Windows embedded so far "
                    "are kept"
                )
        self._deaths_in_place[event.worker] += 1
        if self._deaths_in_place[event.worker] >= _MOST_DEATHS:
            self._retire(event._replace(value=f"{_MOST_DEATHS} died one after the other ({event.value})"))
            return
        self._notify(f"a worker died ({event.value}); its windows were reassigned")
        self._starting.add(event.worker)
        self._pool.start(event.worker)

    def _release(self, worker: int) -> Shard | None:
        """Take a worker out; its shard is assigned next."""
        self._starting.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        shard = self._busy.pop(worker, None)
        if shard is not None:
            self._queue.appendleft(shard)
        return shard

    def close(self) -> None:
        """End the workers."""
        self._pool.close()


def require_same(first: WorkerInfo, other: WorkerInfo) -> None:
    """Raise InputError for a worker that would compute other numbers than the first."""
    for name, words, remedy in (
        ("checkpoint", "another checkpoint", "put the same files in the same place on all machines"),
        ("identity.dtype", "another dtype", "set --dtype"),
        ("identity.device", "another kind of device", "set --device to one that all machines have"),
        ("identity.libraries", "other libraries", "install the same on all machines"),
        # After what the keys of domains consist of too.
        ("text", "other text", "let all machines read the same files"),
        ("batch_size", "another batch size", "set --embedding_batch_size"),
    ):
        fact = attrgetter(name)
        mine, its = _format(fact(first)), _format(fact(other))
        if mine != its:
            raise InputError(
                f"the worker on {other.host} has {words} ({its}) than that on {first.host} ({mine}); {remedy}"
            )


def _format(fact: object) -> str:
    if isinstance(fact, Mapping):
        return ", ".join(f"{name} {value}" for name, value in fact.items())
    return str(fact)
