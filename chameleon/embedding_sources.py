"""Who embeds an open corpus: this process, which then loads the proxy, or the workers of an engine."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from chameleon.checkpoints import find_checkpoint
from chameleon.embedding_plan import Task, keys_of, plan_embedding, plan_more, recipe_of
from chameleon.engines.driver import Driver
from chameleon.engines.filling import Filler
from chameleon.engines.starting import filler_here, filler_of
from chameleon.errors import InputError
from chameleon.opening import Opened, opened
from chameleon.options import Options, checkpoint_of
from chameleon.pieces import MOST_FILES, Pieces, StoredDomains
from chameleon.proxy_identity import ProxyIdentity
from chameleon.quiet import loading_libraries, quiet_transformers
from chameleon.store import DomainEmbeddings

if TYPE_CHECKING:
    from chameleon.loading import Loaded

Notify = Callable[[str], None]


class Source(Protocol):
    """Has windows of an open corpus embedded.

    Attributes:
        keys: By domain the name of its file.
        is_ahead: Whether what `provide` promises is embedded by then, and not only by `embedded`.
    """

    keys: Mapping[str, str]
    is_ahead: bool

    def provide(self, wanted: Mapping[str, int]) -> Mapping[str, int]:
        """Windows by domain that `embedded` will be asked for: those wanted, or all that a domain has."""

    def embedded(self, windows: Mapping[str, int]) -> Mapping[str, DomainEmbeddings]:
        """The first embeddings of each domain."""


class _Here:
    """This process, which writes each domain's file."""

    is_ahead = False

    def __init__(self, there: "Loaded", pieces: Pieces, tell: Notify) -> None:
        self.keys: Mapping[str, str] = keys_of(there.corpus.domains, there.identity, there.recipe)
        self._there, self._pieces, self._tell = there, pieces, tell
        self._tasks: list[Task] = []
        self._stored: dict[str, DomainEmbeddings] = {}

    def provide(self, wanted: Mapping[str, int]) -> Mapping[str, int]:
        there = self._there
        if self._tasks:
            self._tasks = plan_more(self._tasks, self._stored, wanted, there.tokenizer, there.recipe)
        else:
            number = max(wanted.values())  # the same of all at first
            self._tasks = plan_embedding(
                there.corpus.domains, there.tokenizer, there.identity, there.recipe, number, self._pieces
            )
        return {task.domain.name: task.wanted for task in self._tasks}

    def embedded(self, windows: Mapping[str, int]) -> Mapping[str, DomainEmbeddings]:
        from chameleon.embedding import embed

        there, batch_size = self._there, self._there.options.embedding_batch_size
        with quiet_transformers():
            self._stored = embed(
                self._tasks, there.tokenizer, there.proxy, there.recipe, batch_size, self._tell
            )
        return {name: self._stored[name].first(number) for name, number in windows.items()}


class _Workers:
    """The workers of an engine. Embeddings of many domains stay in the files that they were made in."""

    is_ahead = True

    def __init__(self, there: Opened, identity: ProxyIdentity, pieces: Pieces, filler: Filler) -> None:
        self.keys: Mapping[str, str] = filler.keys
        self._there, self._identity = there, identity
        self._pieces, self._filler = pieces, filler

    def provide(self, wanted: Mapping[str, int]) -> Mapping[str, int]:
        self._filler.fill(wanted)
        if not self._are_many:
            domains, recipe = self._there.corpus.domains, self._there.recipe
            recipes = {each.name: recipe_of(each, self._identity, recipe) for each in domains}
            self._pieces.fold({key: (name, recipes[name]) for name, key in self.keys.items()})
        return {name: min(wanted[name], self._windows_of(name)) for name in self.keys}

    def embedded(self, windows: Mapping[str, int]) -> Mapping[str, DomainEmbeddings]:
        many = StoredDomains(self._pieces, self.keys, dict(windows))
        return many if self._are_many else dict(many)

    @property
    def _are_many(self) -> bool:
        return len(self.keys) > MOST_FILES

    def _windows_of(self, name: str) -> int:
        """How many windows there are of a domain.

        Raises:
            InputError: There are none.
        """
        extent = self._pieces.extent(self.keys[name])
        if extent is None or extent.windows == 0:
            raise InputError(f"domain {name}: no text in it; remove what is empty, or give it text")
        return extent.windows


@contextmanager
def source_of(
    options: Options, pieces: Pieces, tell: Notify, driver: Driver | None
) -> Iterator[tuple[Opened, ProxyIdentity, Source]]:
    """The corpus while it is in use, the proxy that embeds it, and who has that.

    A process that only drives workers does not load the proxy.

    Args:
        options: What is asked for.
        pieces: What is stored apart.
        tell: Told in words what the user should know.
        driver: Of workers that were started before, if any were.

    Raises:
        InputError: Corpus or checkpoint cannot be had or used, or no workers can.
    """
    with ExitStack() as stack:
        yield _opened(options, pieces, tell, driver, stack)


def _opened(
    options: Options, pieces: Pieces, tell: Notify, driver: Driver | None, stack: ExitStack
) -> tuple[Opened, ProxyIdentity, Source]:
    checkpoint = checkpoint_of(options)
    if options.engine != "serial" and checkpoint is not None:
        path = find_checkpoint(checkpoint)  # what cannot be had is told before a corpus is read
        digest = partial(_tokenizer_digest, path, options.trust_remote_code)
        there = stack.enter_context(opened(options, checkpoint, digest, tell))
        identity, filler = stack.enter_context(filler_of(there, path, pieces, tell, driver))
        return there, identity, _Workers(there, identity, pieces, filler)
    with loading_libraries():
        import torch

        from chameleon.loading import loaded

    # A stand-in that workers are to have is trained here, and they leave a GPU to nobody else.
    runs_on = None if options.engine == "serial" else (torch.device("cpu"), torch.float32)
    own = stack.enter_context(loaded(options, tell, runs_on))
    if options.engine != "serial":
        identity, filler = stack.enter_context(filler_of(own, own.path, pieces, tell))
        return own, identity, _Workers(own, identity, pieces, filler)
    here = filler_here(own, pieces, tell)
    if here is not None:
        return own, own.identity, _Workers(own, own.identity, pieces, here)
    return own, own.identity, _Here(own, pieces, tell)


@cache
def _tokenizer_digest(checkpoint: Path, trust_remote_code: bool) -> str:
    from chameleon.proxy_tokenizer import load_tokenizer

    return load_tokenizer(checkpoint, trust_remote_code).digest
