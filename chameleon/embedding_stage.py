"""From what a run is asked for to an embedded corpus: by this process, or by the workers of an engine."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import chameleon
from chameleon.corpora import Corpus
from chameleon.embedding_plan import find_stored
from chameleon.embedding_sources import Source, source_of
from chameleon.engines.driver import Driver
from chameleon.engines.filling import fill_share
from chameleon.errors import InputError
from chameleon.files import check_writable, digest_of_json, place_of, places_of
from chameleon.opening import Opened
from chameleon.options import DEFAULT_CHECKPOINT, Options, checkpoint_of
from chameleon.pieces import Pieces
from chameleon.proxy_identity import POOLING, ProxyIdentity
from chameleon.reading import reading_of
from chameleon.store import EmbeddedCorpus, Record, write_record
from chameleon.windows import UNIT_STEP

Notify = Callable[[str], None]

# Domains with too few windows that are named one by one.
_NAMED = 10


def embed_corpus(
    options: Options,
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


def embed_share(options: Options, notify: Notify) -> int:
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
    from chameleon.loading import loaded

    with loaded(options, notify) as there:
        return fill_share(there, options.num_samples, options.num_shards, options.shard_index, notify)


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

    there: Opened
    identity: ProxyIdentity
    source: Source
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

    def _record(self, windows: Mapping[str, int]) -> Record:
        there, options = self.there, self.there.options
        domains, added = there.corpus.domains, places_of(options.add_domains)
        return Record(
            dataset=place_of(there.dataset),
            settings={
                "dataset": place_of(there.dataset),
                "checkpoint_path": place_of(there.checkpoint),
                "seed": there.recipe.seed,
                "sample_length": there.recipe.sample_length,
                "dtype": self.identity.dtype,
                "block": self.identity.block,
                **reading_of(options),
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
