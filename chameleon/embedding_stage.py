"""From what a run is asked for to an embedded corpus: finds the text and the proxy, and embeds."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch
import transformers

import chameleon
from chameleon.corpora import Corpus
from chameleon.devices import DTYPES, choose_device, choose_dtype
from chameleon.embedding import embed
from chameleon.embedding_plan import find_stored, plan_embedding, plan_more, recipe_of
from chameleon.engines.driver import Driver
from chameleon.engines.filling import Filler, fill_share
from chameleon.engines.starting import filler_of
from chameleon.engines.worker import keys_of
from chameleon.errors import InputError
from chameleon.files import check_writable, digest_of_json, place_of, places_of
from chameleon.opening import Opened, opened
from chameleon.options import DEFAULT_CHECKPOINT, Options, checkpoint_of
from chameleon.pieces import MOST_FILES, Pieces, StoredDomains
from chameleon.proxy import POOLING, Proxy
from chameleon.proxy_tokenizer import ProxyTokenizer
from chameleon.quiet import quiet_transformers
from chameleon.reading import reading_of
from chameleon.store import EmbeddedCorpus, Record, file_name, write_record
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
    with opened(options, tell, _beside_workers(options)) as own:
        pieces = Pieces(options.embeddings_dir)
        with filler_of(own, pieces, tell, driver) as (there, filler):
            embedded = _Rounds(there, pieces, filler, more, told, tell, is_recorded).run(first)
        removed = find_stored(there.removed, there.tokenizer, there.proxy, there.recipe, pieces)
        return replace(embedded, removed=removed)


def _beside_workers(options: Options) -> tuple[torch.device, torch.dtype] | None:
    """Where the proxy is to be while others compute: not on a GPU that is theirs."""
    if options.engine == "serial":
        return None
    if options.engine == "processes":
        return torch.device("cpu"), choose_dtype(options.dtype, choose_device(options.device))
    return torch.device("cpu"), torch.float32 if options.dtype == "auto" else DTYPES[options.dtype]


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
    with opened(options, notify) as there:
        return fill_share(there, options.num_samples, options.num_shards, options.shard_index, notify)


@dataclass(frozen=True)
class _Rounds:
    """An open corpus and a loaded proxy, which embed it in rounds; by workers, where there are any.

    Attributes:
        there: What is open.
        pieces: What is stored apart.
        filler: The workers.
        more, is_recorded: As of `embed_corpus`.
        told, tell: What the user was told, and how.
    """

    there: Opened
    pieces: Pieces
    filler: Filler | None
    more: Callable[[EmbeddedCorpus], Mapping[str, int]]
    told: list[str]
    tell: Notify
    is_recorded: bool

    def run(self, first: int) -> EmbeddedCorpus:
        if self.filler is not None and len(self.there.corpus.domains) > MOST_FILES:
            return self._run_many(self.filler, first)
        there, options = self.there, self.there.options
        tokenizer, proxy, recipe = there.tokenizer, there.proxy, there.recipe
        self._fill(dict.fromkeys((domain.name for domain in there.corpus.domains), first))
        tasks = plan_embedding(there.corpus.domains, tokenizer, proxy, recipe, first, self.pieces)
        self._tell_of_few({task.domain.name: task.wanted for task in tasks})
        files = {task.domain.name: task.path.name for task in tasks}
        record = self._record({task.domain.name: task.wanted for task in tasks}, files)
        if self.is_recorded and not (options.embeddings_dir / record.name).exists():
            write_record(options.embeddings_dir, record)  # what an interrupt leaves is of use
        while True:
            with quiet_transformers():
                stored = embed(tasks, tokenizer, proxy, recipe, options.embedding_batch_size, self.tell)
            embedded = {task.domain.name: stored[task.domain.name].first(task.wanted) for task in tasks}
            record = self._record({task.domain.name: task.wanted for task in tasks}, files)
            if self.is_recorded:
                write_record(options.embeddings_dir, record)
            found = EmbeddedCorpus(record, embedded)
            wanted = self.more(found)
            if not wanted:
                return found
            if self.filler is not None:
                self._fill(wanted)
                filled = {name: self.pieces.stored(file) for name, file in files.items()}
                stored = {name: each for name, each in filled.items() if each is not None}
            tasks = plan_more(tasks, stored, wanted, tokenizer, recipe)

    def _fill(self, wanted: Mapping[str, int]) -> None:
        """Have the workers embed what is missing, and put it into the domains' files."""
        if self.filler is None:
            return
        there, domains = self.there, self.there.corpus.domains
        self.filler.fill(wanted)
        recipes = (recipe_of(domain, there.tokenizer, there.proxy, there.recipe) for domain in domains)
        named = zip(domains, recipes, strict=True)
        self.pieces.fold({file_name(each.name, recipe): (each.name, recipe) for each, recipe in named})

    def _run_many(self, filler: Filler, first: int) -> EmbeddedCorpus:
        """The same of many domains, whose embeddings stay in the files that they were made in."""
        keys = keys_of(self.there)
        wanted: Mapping[str, int] = dict.fromkeys(keys, first)
        while True:
            filler.fill(wanted)
            windows = {name: min(wanted[name], self._windows_of(name, key)) for name, key in keys.items()}
            self._tell_of_few(windows)
            record = self._record(windows, keys)
            if self.is_recorded:
                write_record(self.there.options.embeddings_dir, record)
            found = EmbeddedCorpus(record, StoredDomains(self.pieces, keys, windows))
            wanted = self.more(found)
            if not wanted:
                return found

    def _windows_of(self, name: str, key: str) -> int:
        """How many windows there are of a domain.

        Raises:
            InputError: There are none.
        """
        extent = self.pieces.extent(key)
        if extent is None or extent.windows == 0:
            raise InputError(f"domain {name}: no text in it; remove what is empty, or give it text")
        return extent.windows

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

    def _record(self, windows: Mapping[str, int], files: Mapping[str, str]) -> Record:
        there, options = self.there, self.there.options
        domains, added = there.corpus.domains, places_of(options.add_domains)
        return Record(
            dataset=place_of(there.dataset),
            settings={
                "dataset": place_of(there.dataset),
                "checkpoint_path": place_of(there.checkpoint),
                "seed": there.recipe.seed,
                "sample_length": there.recipe.sample_length,
                "dtype": str(there.proxy.dtype).removeprefix("torch."),
                "block": there.proxy.block,
                **reading_of(options),
                **({} if added is None else {"add_domains": added}),
            },
            num_samples=options.num_samples,
            windows=dict(windows),
            files=dict(files),
            facts={domain.name: domain.facts for domain in domains if domain.facts},
            sources={
                domain.name: [(unit * UNIT_STEP + at, file) for unit, at, file in domain.files]
                for domain in domains
                if domain.files
            },
            provenance=_provenance(there.corpus, there.proxy, there.tokenizer),
            notices=tuple(self.told),
            written=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _provenance(corpus: Corpus, proxy: Proxy, tokenizer: ProxyTokenizer) -> dict[str, Any]:
    return {
        "dataset": {
            "name": corpus.name,
            **corpus.provenance,
            "fingerprint": digest_of_json([domain.text.fingerprint for domain in corpus.domains]),
        },
        "proxy": {
            "digest": proxy.digest,
            "tokenizer_digest": tokenizer.digest,
            "block": proxy.block,
            "num_blocks": proxy.num_blocks,
            "width": proxy.width,
            "pooling": POOLING,
        },
        "device": proxy.device.type,
        "versions": {
            "chameleon": chameleon.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
    }
