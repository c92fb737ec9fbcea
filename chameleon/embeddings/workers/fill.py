"""Has the windows that a corpus lacks made by workers, or those of one share of it by this process."""

from collections.abc import Mapping
from time import monotonic, sleep
from typing import TYPE_CHECKING, Never

from tqdm import tqdm

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.embeddings.pieces import MOST_FILES, Pieces
from chameleon.embeddings.workers.driver import Driver
from chameleon.embeddings.workers.messages import PieceRequest, PieceResult, Shard, shards_of
from chameleon.text.windows import CHUNKS_PER_PIECE

if TYPE_CHECKING:
    from chameleon.embeddings.load_proxy import LoadedProxy


# Of so many times as many domains as shares each falls to one share whole.
_WHOLE = 4


# Of domains that are small beside a piece, about so many shards at most; of many, so many windows at least.
_MOST_SHARDS = 8192


_LEAST_WINDOWS = 128


# A worker is given up to so many pieces of a domain at once, where each has many such shares before it.
_PIECES_AT_ONCE, _SHARES = 4, 8


# How long a shared disk may take to show what another machine has written.
SECONDS_TO_BE_SEEN = 60.0


class PieceScheduler:
    """An engine at work on one corpus."""

    def __init__(self, driver: Driver, pieces: Pieces, keys: Mapping[str, str], at_once: int) -> None:
        """Args: who works, what there is, by domain its key, and windows of a chunk."""
        self.keys = keys
        self._driver, self._pieces = driver, pieces
        self._piece_windows = CHUNKS_PER_PIECE * at_once
        self._at_once = 1
        self._files: set[str] = set()
        self._ended: set[str] = set()

    def fill(self, wanted: Mapping[str, int]) -> None:
        """Have pieces made until each domain has the windows wanted of it, or all that it has.

        Raises:
            InputError: A text cannot be read, an embedding is not finite, no worker is left, or what workers
                write does not come to be seen here.
        """
        bar: tqdm[Never] = tqdm(desc="embedding", unit="window", delay=1, disable=None)
        with bar:
            before: list[PieceRequest] = []
            while items := self._lacking(wanted):
                if items == before:
                    raise InputError(
                        f"what workers wrote to {self._pieces.directory} is not to be seen here; name by "
                        "--embeddings_dir a directory that all machines share"
                    )
                before = items
                bar.total = bar.n + sum(item.wanted - item.have for item in items)
                # Many small domains come together, so that there are not too many files.
                total = int(bar.total - bar.n)
                least = _LEAST_WINDOWS if len(self.keys) > MOST_FILES else self._piece_windows
                size = max(self._piece_windows, least, total // _MOST_SHARDS)
                shares = self._piece_windows * self._driver.size * _SHARES
                self._at_once = max(1, min(_PIECES_AT_ONCE, total // shares))
                self._driver.carry_out(shards_of(items, size), lambda made: self._react(made, bar))
                self._wait_for_files()
                self._pieces.look(self._files)
                self._files.clear()

    def _wait_for_files(self) -> None:
        """Disks that machines share may take a while to show what others wrote."""
        deadline = monotonic() + SECONDS_TO_BE_SEEN
        for name in self._files:
            while not (self._pieces.directory / name).exists() and monotonic() < deadline:
                sleep(0.2)

    def _lacking(self, wanted: Mapping[str, int]) -> list[PieceRequest]:
        items = []
        for name, number in wanted.items():
            extent = self._pieces.extent(self.keys[name])
            have, visit = (0, 0) if extent is None else (extent.windows, extent.next_visit)
            is_there = name in self._ended or (extent is not None and have >= min(number, extent.available))
            if not is_there:
                items.append(PieceRequest(name, have, visit, number, 0))
        return items

    def _react(self, made: tuple[PieceResult, ...], bar: "tqdm[Never]") -> list[Shard]:
        """What is left to make of domains that have been measured by making their first piece."""
        bar.update(sum(each.windows for each in made))
        self._files |= {each.file for each in made if each.file is not None}
        # Whoever measured them says that there are no more windows, whatever was thought before.
        self._ended |= {each.item.domain for each in made if each.num_pieces == 0}
        further = [
            each.item._replace(number=number)
            for each in made
            if each.item.number == 0
            for number in range(1, each.num_pieces)
        ]
        return [tuple(further[at : at + self._at_once]) for at in range(0, len(further), self._at_once)]


def embed_shard(there: "LoadedProxy", wanted: int, num_shards: int, shard_index: int, notify: Notify) -> int:
    """Make in this process the pieces that fall to one of several shares, and leave them for a later run.

    Which share a piece falls to is up to its place in its domain and that among the others alone. Of many
    domains each falls to one share whole, so that it is measured once.

    Args:
        there: What is open.
        wanted: Windows of each domain.
        num_shards, shard_index: How many shares there are, and which this is, from 0 on.
        notify: Told in words what the user should know.

    Returns:
        Windows that were made.
    """
    from chameleon.embeddings.workers.worker import Worker

    worker, pieces = Worker(there, notify), Pieces(there.options.embeddings_dir)
    goes_whole = len(worker.keys) >= _WHOLE * num_shards
    size = CHUNKS_PER_PIECE * worker.at_once
    made, room = 0, size
    shard: list[PieceRequest] = []
    with tqdm(worker.keys.items(), desc="embedding", unit="domain", delay=1, disable=None) as bar:
        for number, (name, key) in enumerate(bar):
            if goes_whole and number % num_shards != shard_index:
                continue
            extent = pieces.extent(key)
            have, visit = (0, 0) if extent is None else (extent.windows, extent.next_visit)
            if extent is not None and have >= min(wanted, extent.available):
                continue
            whole = PieceRequest(name, have, visit, wanted, 0)
            span = worker.span(whole)
            for piece in range(span.num_pieces):
                if not goes_whole and (number + span.piece(piece).place) % num_shards != shard_index:
                    continue
                windows = min(size, wanted - have)
                if shard and windows > room:
                    made += sum(each.windows for each in worker.embed(tuple(shard)))
                    shard, room = [], size
                shard.append(whole._replace(number=piece))
                room -= windows
    if shard:
        made += sum(each.windows for each in worker.embed(tuple(shard)))
    return made
