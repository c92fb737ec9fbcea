"""Hands shards to workers until all are made, whatever becomes of the workers."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import cast

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.embeddings.workers.messages import PieceResult, Shard, WorkerEvent, WorkerInfo, WorkerPool

# So many workers may die over one shard, or in one place without having done anything.
_MOST_DEATHS = 5


class Driver:
    """A pool of workers at work. Each shard goes to one that is free; that of one that died to another."""

    def __init__(self, pool: WorkerPool) -> None:
        """Start the workers of a pool. What they need to be checked by may be opened meanwhile."""
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
        """How many workers there are to be."""
        return self._pool.size

    def meet(self, check: Callable[[WorkerInfo], None], notify: Notify) -> WorkerInfo:
        """What the workers are like, as soon as one is ready.

        Args:
            check: Raises an InputError for a worker that must not be used.
            notify: Told in words what happens to the workers.

        Raises:
            InputError: By the check, or no worker can be started.
        """
        self._check, self._notify = check, notify
        while self._first is None:
            self._react(lambda made: ())
        return self._first

    def carry_out(
        self, shards: Iterable[Shard], react: Callable[[tuple[PieceResult, ...]], Iterable[Shard]]
    ) -> None:
        """Have all shards made, in any order.

        Args:
            shards: What is to be made, in the order in which workers are given it.
            react: Told of each shard what was made; says what else is to be made because of it.

        Raises:
            InputError: A shard cannot be made, or no worker is left that could.
        """
        self._queue.extend(shards)
        while self._queue or self._busy:
            while self._queue and self._idle:
                worker, shard = self._idle.popleft(), self._queue.popleft()
                self._busy[worker] = shard
                self._pool.assign(worker, shard)
            self._react(react)

    def _react(self, react: Callable[[tuple[PieceResult, ...]], Iterable[Shard]]) -> None:
        for event in self._pool.wait():
            match event.kind:
                case "ready":
                    self._welcome(event.worker, cast("WorkerInfo", event.value))
                case "done":
                    del self._busy[event.worker]
                    self._deaths_in_place[event.worker] = 0
                    self._idle.append(event.worker)
                    self._queue.extend(react(cast("tuple[PieceResult, ...]", event.value)))
                case "progress":
                    self._queue.extend(react(cast("tuple[PieceResult, ...]", event.value)))
                case "note":
                    self._notify(str(event.value))
                case "failed":
                    raise InputError(str(event.value))
                case "unusable":
                    self._retire(event)
                case "ended":
                    self._replace(event)

    def _welcome(self, worker: int, hello: WorkerInfo) -> None:
        self._check(hello)
        if self._first is None:
            self._first = hello
        require_same(self._first, hello)
        self._starting.discard(worker)
        self._idle.append(worker)

    def _retire(self, event: WorkerEvent) -> None:
        """Do without a worker that cannot go on where it is."""
        self._give_back(event.worker)
        if not (self._idle or self._busy or self._starting):
            raise InputError(f"no worker is left: {event.value}")
        self._notify(f"going on without a worker: {event.value}")

    def _replace(self, event: WorkerEvent) -> None:
        """Start another worker for one that ended."""
        shard = self._give_back(event.worker)
        if shard is not None:
            self._deaths[shard] += 1
            if self._deaths[shard] >= _MOST_DEATHS:
                names = ", ".join(dict.fromkeys(request.domain for request in shard[:3]))
                raise InputError(
                    f"{_MOST_DEATHS} workers died over the same windows of {names} ({event.value}); if "
                    "memory ran out, lower --embedding_batch_size or --num_workers. What is embedded is kept"
                )
        self._deaths_in_place[event.worker] += 1
        if self._deaths_in_place[event.worker] >= _MOST_DEATHS:
            self._retire(event._replace(value=f"{_MOST_DEATHS} died one after the other ({event.value})"))
            return
        self._notify(f"a worker died ({event.value}): another goes on with its windows")
        self._starting.add(event.worker)
        self._pool.start(event.worker)

    def _give_back(self, worker: int) -> Shard | None:
        """Take a worker out, its shard to be made next."""
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


def require_same(one: WorkerInfo, other: WorkerInfo) -> None:
    """Raise for a worker that would make other numbers than the first."""
    for name, words, remedy in (
        ("checkpoint", "another checkpoint", "put the same files in the same place on all machines"),
        ("identity.dtype", "another dtype", "name one by --dtype"),
        ("identity.device", "another kind of device", "name one by --device that all machines have"),
        ("identity.libraries", "other libraries", "install the same on all machines"),
        # Behind what is in the keys of domains too.
        ("text", "other text", "let all machines read the same files"),
        ("batch_size", "another batch size", "name one by --embedding_batch_size"),
    ):
        fact = attrgetter(name)
        mine, its = _in_words(fact(one)), _in_words(fact(other))
        if mine != its:
            raise InputError(
                f"the worker on {other.host} has {words} ({its}) than that on {one.host} ({mine}); {remedy}"
            )


def _in_words(fact: object) -> str:
    if isinstance(fact, Mapping):
        return ", ".join(f"{name} {value}" for name, value in fact.items())
    return str(fact)
