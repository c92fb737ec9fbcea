"""Schedules the windows that a corpus lacks: as shards for workers, until all are embedded."""

from collections.abc import Iterator, Mapping
from functools import partial
from time import monotonic, sleep
from typing import Any, Never

from tqdm import tqdm

from chameleon.common.errors import InputError
from chameleon.embeddings.pieces import Pieces, are_many
from chameleon.embeddings.workers.driver import Driver
from chameleon.embeddings.workers.local import missing_from
from chameleon.embeddings.workers.messages import PieceRequest, PieceResult, Shard, shards_of

# Domains that are smaller than a piece come in at most so many shards; of many domains, each shard has at
# least so many windows.
_MOST_SHARDS = 8192
_LEAST_WINDOWS = 128

# A worker gets up to so many pieces of a domain at once if each has many such shards to do.
_PIECES_AT_ONCE, _SHARDS_PER_WORKER = 4, 8

# How long a shared disk may take to show what another machine has written.
SECONDS_TO_BE_SEEN = 60.0


class PieceScheduler:
    """Lets workers embed the windows that a corpus lacks."""

    def __init__(
        self,
        driver: Driver,
        pieces: Pieces,
        keys: Mapping[str, str],
        piece_windows: int | None,
        folded: Mapping[str, tuple[str, Mapping[str, Any]]],
    ) -> None:
        """Set up.

        Args:
            driver: The workers.
            pieces: What is stored.
            keys: Key of each domain, by name.
            piece_windows: Windows of a piece; None where one worker embeds whole domains.
            folded: Name and recipe of the domains that get a file each, by key.
        """
        self.keys = keys
        self._driver, self._pieces, self._folded = driver, pieces, folded
        self._piece_windows = piece_windows
        self._pieces_at_once = 1
        self._files: set[str] = set()
        self._exhausted: set[str] = set()

    def fill(self, wanted: Mapping[str, int]) -> None:
        """Embed until each domain has the windows wanted of it, or all that it has.

        Raises:
            InputError: A text cannot be read, an embedding is not finite, no worker is left, or files of
                workers do not become visible here.
        """
        with tqdm(desc="embedding", unit="window", delay=1, disable=None) as bar:
            before: list[PieceRequest] = []
            while requests := list(self._missing(wanted)):
                if requests == before:
                    raise InputError(
                        f"files that workers wrote to {self._pieces.directory} do not appear here; set "
                        "--embeddings_dir to a directory that all machines share"
                    )
                before = requests
                total = sum(request.wanted - request.have for request in requests)
                bar.total = bar.n + total
                self._driver.carry_out(self._shards(requests, total), partial(self._react, bar))
                self._wait_for_files()
                self._pieces.look(self._files)
                self._files.clear()
        self._pieces.fold(self._folded)

    def _missing(self, wanted: Mapping[str, int]) -> Iterator[PieceRequest]:
        for name, number in wanted.items():
            request = None
            if name not in self._exhausted:
                request = missing_from(self._pieces, name, self.keys[name], number)
            if request is not None:
                yield request if self._piece_windows is None else request._replace(number=0)

    def _shards(self, requests: list[PieceRequest], total: int) -> Iterator[Shard]:
        """The first shards; small domains come together, so that there are not too many files."""
        if self._piece_windows is None:
            return iter([tuple(requests)])
        self._pieces_at_once = total // (self._piece_windows * self._driver.size * _SHARDS_PER_WORKER)
        self._pieces_at_once = max(1, min(_PIECES_AT_ONCE, self._pieces_at_once))
        least = _LEAST_WINDOWS if are_many(len(self.keys)) else 0
        return shards_of(requests, max(self._piece_windows, least, total // _MOST_SHARDS))

    def _react(self, bar: "tqdm[Never]", results: tuple[PieceResult, ...]) -> list[Shard]:
        """The other pieces of domains that have been measured by embedding their first one."""
        bar.update(sum(each.windows for each in results))
        self._files |= {each.file for each in results if each.file is not None}
        # Whoever measured a domain knows that there are no more windows, whatever was estimated before.
        self._exhausted |= {each.request.domain for each in results if each.num_pieces == 0}
        others = [
            each.request._replace(number=number)
            for each in results
            if each.request.number == 0
            for number in range(1, each.num_pieces)
        ]
        size = self._pieces_at_once
        return [tuple(others[at : at + size]) for at in range(0, len(others), size)]

    def _wait_for_files(self) -> None:
        """Wait until files of other machines appear on a shared disk."""
        deadline = monotonic() + SECONDS_TO_BE_SEEN
        for name in self._files:
            while not (self._pieces.directory / name).exists() and monotonic() < deadline:
                sleep(0.2)
