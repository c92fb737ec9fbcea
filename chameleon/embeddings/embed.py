"""From what a run is asked for to an embedded corpus: by this process, or by the workers of an engine."""

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import chameleon
from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import absolute_path, absolute_paths, check_writable, digest_of_json
from chameleon.common.libraries import loading_libraries, quiet_transformers
from chameleon.embeddings.keys import (
    POOLING,
    ProxyIdentity,
    Task,
    find_stored,
    keys_of,
    plan_embedding,
    plan_more,
    recipe_of,
)
from chameleon.embeddings.open_corpus import OpenCorpus, open_run_corpus
from chameleon.embeddings.options import EmbeddingOptions, checkpoint_of
from chameleon.embeddings.pieces import MOST_FILES, Pieces, StoredDomains
from chameleon.embeddings.store import DomainEmbeddings, EmbeddedCorpus, EmbeddingRecord, write_record
from chameleon.embeddings.workers.connect import serial_scheduler, worker_scheduler
from chameleon.embeddings.workers.driver import Driver
from chameleon.embeddings.workers.fill import PieceScheduler, embed_shard
from chameleon.proxy.checkpoints import DEFAULT_CHECKPOINT, find_checkpoint
from chameleon.text.corpora import Corpus
from chameleon.text.windows import UNIT_STEP

if TYPE_CHECKING:
    from chameleon.embeddings.load_proxy import LoadedProxy


class CorpusSource(Protocol):
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

    def __init__(self, there: "LoadedProxy", pieces: Pieces, tell: Notify) -> None:
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
        from chameleon.embeddings.embedder import embed

        there, batch_size = self._there, self._there.options.embedding_batch_size
        with quiet_transformers():
            self._stored = embed(
                self._tasks, there.tokenizer, there.proxy, there.recipe, batch_size, self._tell
            )
        return {name: self._stored[name].first(number) for name, number in windows.items()}


class _Workers:
    """The workers of an engine. Embeddings of many domains stay in the files that they were made in."""

    is_ahead = True

    def __init__(
        self, there: OpenCorpus, identity: ProxyIdentity, pieces: Pieces, filler: PieceScheduler
    ) -> None:
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
    options: EmbeddingOptions, pieces: Pieces, tell: Notify, driver: Driver | None
) -> Iterator[tuple[OpenCorpus, ProxyIdentity, CorpusSource]]:
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
    options: EmbeddingOptions, pieces: Pieces, tell: Notify, driver: Driver | None, stack: ExitStack
) -> tuple[OpenCorpus, ProxyIdentity, CorpusSource]:
    checkpoint = checkpoint_of(options)
    if options.engine != "serial" and checkpoint is not None:
        path = find_checkpoint(checkpoint)  # what cannot be had is told before a corpus is read
        digest = partial(_tokenizer_digest, path, options.trust_remote_code)
        there = stack.enter_context(open_run_corpus(options, checkpoint, digest, tell))
        identity, filler = stack.enter_context(worker_scheduler(there, path, pieces, tell, driver))
        return there, identity, _Workers(there, identity, pieces, filler)
    with loading_libraries():
        import torch

        from chameleon.embeddings.load_proxy import load_run_proxy

    # A stand-in that workers are to have is trained here, and they leave a GPU to nobody else.
    runs_on = None if options.engine == "serial" else (torch.device("cpu"), torch.float32)
    own = stack.enter_context(load_run_proxy(options, tell, runs_on))
    if options.engine != "serial":
        identity, filler = stack.enter_context(worker_scheduler(own, own.path, pieces, tell))
        return own, identity, _Workers(own, identity, pieces, filler)
    here = serial_scheduler(own, pieces, tell)
    if here is not None:
        return own, own.identity, _Workers(own, own.identity, pieces, here)
    return own, own.identity, _Here(own, pieces, tell)


@cache
def _tokenizer_digest(checkpoint: Path, trust_remote_code: bool) -> str:
    from chameleon.proxy.tokenizer import load_tokenizer

    return load_tokenizer(checkpoint, trust_remote_code).digest


# Domains with too few windows that are named one by one.
_NAMED = 10


def embed_corpus(
    options: EmbeddingOptions,
    first: int,
    more: Callable[[EmbeddedCorpus], Mapping[str, int]],
    notify: Notify,
    is_recorded: bool = True,
    driver: Driver | None = None,
) -> EmbeddedCorpus:
    """Embed the corpus that is asked for, so far as it is not stored in the embeddings directory.

    Args:
        options: What is asked for.
        first: Windows of each domain to begin with.
        more: From the embeddings so far to the windows of each domain in the next round; none to end so.
        notify: Told in words what the user should know, when it is known.
        is_recorded: Whether a record is written by which the embeddings are found without the corpus.
        driver: Of workers that were started before, if any were.

    Raises:
        InputError: Corpus or checkpoint cannot be had or used, or the embeddings cannot be written.
    """
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        notify(text)

    check_writable(options.embeddings_dir / "domain.safetensors")
    pieces = Pieces(options.embeddings_dir)
    with source_of(options, pieces, tell, driver) as (there, identity, source):
        embedded = _Rounds(there, identity, source, more, told, tell, is_recorded).run(first)
        removed = find_stored(there.removed, identity, there.recipe, pieces)
        return replace(embedded, removed=removed)


def embed_share(options: EmbeddingOptions, notify: Notify) -> int:
    """Embed one of `num_shards` parts of the work into pieces that a later run puts together.

    Args:
        options: What is asked for, with num_shards, shard_index and num_samples.
        notify: Told in words what the user should know.

    Returns:
        Windows that were embedded.

    Raises:
        InputError: As of `embed_corpus`.
    """
    assert options.num_samples is not None
    assert options.num_shards is not None
    assert options.shard_index is not None
    check_writable(options.embeddings_dir / "domain.safetensors")
    if checkpoint_of(options) is None:
        raise InputError(
            f"--num_shards needs a proxy: name one by --checkpoint_path, or put one in {DEFAULT_CHECKPOINT}"
        )
    from chameleon.embeddings.load_proxy import load_run_proxy

    with load_run_proxy(options, notify) as there:
        return embed_shard(there, options.num_samples, options.num_shards, options.shard_index, notify)


@dataclass(frozen=True)
class _Rounds:
    """An open corpus that is embedded in rounds.

    Attributes:
        there: What is open.
        identity: The proxy's.
        source: Who embeds.
        more, is_recorded: As of `embed_corpus`.
        told, tell: What the user was told, and how.
    """

    there: OpenCorpus
    identity: ProxyIdentity
    source: CorpusSource
    more: Callable[[EmbeddedCorpus], Mapping[str, int]]
    told: list[str]
    tell: Notify
    is_recorded: bool

    def run(self, first: int) -> EmbeddedCorpus:
        directory = self.there.options.embeddings_dir
        wanted: Mapping[str, int] = dict.fromkeys(
            (domain.name for domain in self.there.corpus.domains), first
        )
        while True:
            windows = self.source.provide(wanted)
            self._tell_of_few(windows)
            if self.is_recorded and not self.source.is_ahead:
                record = self._record(windows)
                if not (directory / record.name).exists():
                    write_record(directory, record)  # what an interrupt leaves is of use
            domains = self.source.embedded(windows)
            record = self._record(windows)
            if self.is_recorded:
                write_record(directory, record)
            found = EmbeddedCorpus(record, domains)
            wanted = self.more(found)
            if not wanted:
                return found

    def _tell_of_few(self, windows: Mapping[str, int]) -> None:
        """Tell of domains that have fewer windows than are asked for."""
        wanted, length = self.there.options.num_samples, self.there.recipe.sample_length
        few = [] if wanted is None else [name for name, number in windows.items() if number < wanted]
        for name in few if len(few) <= _NAMED else ():
            self.tell(f"{name} has only {windows[name]} windows of {length} tokens: all are used")
        if len(few) > _NAMED:
            self.tell(
                f"{len(few):,} domains have fewer than {wanted} windows of {length} tokens, down to "
                f"{min(windows[name] for name in few)}: all that they have are used "
                f"({', '.join(few[:_NAMED])}, ...)"
            )

    def _record(self, windows: Mapping[str, int]) -> EmbeddingRecord:
        there, options = self.there, self.there.options
        domains, added = there.corpus.domains, absolute_paths(options.add_domains)
        return EmbeddingRecord(
            dataset=absolute_path(there.dataset),
            settings={
                "dataset": absolute_path(there.dataset),
                "checkpoint_path": absolute_path(there.checkpoint),
                "seed": there.recipe.seed,
                "sample_length": there.recipe.sample_length,
                "dtype": self.identity.dtype,
                "block": self.identity.block,
                **{name: value for name, value in options.text_settings().items() if value is not None},
                **({} if added is None else {"add_domains": added}),
            },
            num_samples=options.num_samples,
            windows=dict(windows),
            files=dict(self.source.keys),
            facts={domain.name: domain.facts for domain in domains if domain.facts},
            sources={
                domain.name: [(unit * UNIT_STEP + at, file) for unit, at, file in domain.files]
                for domain in domains
                if domain.files
            },
            provenance=_provenance(there.corpus, self.identity),
            notices=tuple(self.told),
            written=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _provenance(corpus: Corpus, identity: ProxyIdentity) -> dict[str, Any]:
    return {
        "dataset": {
            "name": corpus.name,
            **corpus.provenance,
            "fingerprint": digest_of_json([domain.text.fingerprint for domain in corpus.domains]),
        },
        "proxy": {
            "digest": identity.digest,
            "tokenizer_digest": identity.tokenizer_digest,
            "block": identity.block,
            "num_blocks": identity.num_blocks,
            "width": identity.width,
            "pooling": POOLING,
        },
        "device": identity.device,
        "versions": {
            "chameleon": chameleon.__version__,
            **identity.libraries,
            "python": platform.python_version(),
        },
    }
