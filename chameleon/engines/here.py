"""The one worker that is this process."""

from chameleon.engines.work import Event, Hello, Shard
from chameleon.engines.worker import Worker


class Here:
    """A pool of one, which works while it is waited for."""

    size = 1

    def __init__(self, worker: Worker, hello: Hello) -> None:
        """Args: the worker, and what it is."""
        self._worker, self._hello = worker, hello
        self._shard: Shard | None = None
        self._is_new = False

    def start(self, worker: int) -> None:
        """Nothing is to be started."""
        self._is_new = True

    def give(self, worker: int, shard: Shard) -> None:
        """Have a shard made by the next `wait`."""
        self._shard = shard

    def wait(self) -> list[Event]:
        """Work. Errors as of `Worker.embed`."""
        if self._is_new:
            self._is_new = False
            return [Event(0, "ready", self._hello)]
        assert self._shard is not None
        shard, self._shard = self._shard, None
        return [Event(0, "done", self._worker.embed(shard))]

    def close(self) -> None:
        """Nothing is to be ended."""
