"""From what a run is asked for to an embedded corpus: finds the text and the proxy, and embeds."""

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

import chameleon
from chameleon.checkpoints import find_checkpoint
from chameleon.corpora import BUILTIN, Corpus, open_corpus
from chameleon.devices import choose_device, choose_dtype
from chameleon.domains import require_removable
from chameleon.embedding import embed
from chameleon.embedding_plan import Task, find_stored, plan_embedding, plan_more
from chameleon.errors import InputError
from chameleon.files import check_writable, digest_of_json, place_of, places_of
from chameleon.grid import WindowRecipe
from chameleon.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_DATASET,
    DEFAULT_SAMPLE_LENGTH,
    DEFAULT_SEED,
    Options,
)
from chameleon.proxy import POOLING, Proxy, load_proxy
from chameleon.proxy_tokenizer import ProxyTokenizer, load_tokenizer
from chameleon.quiet import quiet_hub, quiet_transformers
from chameleon.reading import corpus_request, reading_of
from chameleon.store import EmbeddedCorpus, Record, write_record
from chameleon.windows import UNIT_STEP

Notify = Callable[[str], None]

# Of a model that sets no bound itself.
_LONGEST_WINDOW = 1 << 20
_BETTER_PROXY = (
    "put a proxy there or name any causal language model, such as --checkpoint_path distilbert/distilgpt2"
)


def embed_corpus(
    options: Options,
    first: int,
    more: Callable[[EmbeddedCorpus], Mapping[str, int]],
    notify: Notify,
    is_recorded: bool = True,
) -> EmbeddedCorpus:
    """Embed the corpus that is asked for, so far as it is not stored in the embeddings directory.

    Args:
        options: What is asked for.
        first: Windows of each domain to begin with.
        more: From the embeddings so far to the windows of each domain in the next round; none to end so.
        notify: Told in words what the user should know, when it is known.
        is_recorded: Whether a record is written by which the embeddings are found without the corpus.

    Raises:
        InputError: Corpus or checkpoint cannot be had or used, or the embeddings cannot be written.
    """
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        notify(text)

    check_writable(options.embeddings_dir / "domain.safetensors")
    device = choose_device(options.device)
    dataset = _dataset(options)
    # A checkpoint that cannot be had is told before a corpus is read.
    named = options.checkpoint_path or (DEFAULT_CHECKPOINT if Path(DEFAULT_CHECKPOINT).exists() else None)
    checkpoint = None if named is None else find_checkpoint(named)
    tokenizer = None if checkpoint is None else load_tokenizer(checkpoint, options.trust_remote_code)
    with (
        quiet_hub(),
        closing(open_corpus(corpus_request(options, dataset, tokenizer, options.embeddings_dir))) as corpus,
    ):
        for notice in corpus.notices:
            tell(notice)
        if checkpoint is None or tokenizer is None:
            checkpoint = _standin(options, corpus, device, tell)
            named = str(checkpoint)
            tokenizer = load_tokenizer(checkpoint, options.trust_remote_code)
        dtype = choose_dtype(options.dtype, device)
        proxy = load_proxy(checkpoint, device, dtype, options.trust_remote_code, options.block)
        rounds = _Rounds(options, _without_removed(corpus, options), dataset, tokenizer, proxy, named)
        embedded = rounds.run(first, more, told, tell, is_recorded)
        removed = [domain for domain in corpus.domains if domain.name in options.remove_domains]
        recipe = _window_recipe(options, proxy, named)
        return replace(
            embedded, removed=find_stored(removed, tokenizer, proxy, recipe, options.embeddings_dir)
        )


def _without_removed(corpus: Corpus, options: Options) -> Corpus:
    """The corpus without the domains to remove."""
    names = [domain.name for domain in corpus.domains]
    require_removable(names, options.remove_domains)
    if not options.remove_domains:
        return corpus
    kept = [domain for domain in corpus.domains if domain.name not in options.remove_domains]
    return replace(corpus, domains=tuple(kept))


@dataclass(frozen=True)
class _Rounds:
    """An open corpus and a loaded proxy, which embed it in rounds. `checkpoint` is the proxy's name."""

    options: Options
    corpus: Corpus
    dataset: str
    tokenizer: ProxyTokenizer
    proxy: Proxy
    checkpoint: str | None

    def run(
        self,
        first: int,
        more: Callable[[EmbeddedCorpus], Mapping[str, int]],
        told: list[str],
        tell: Notify,
        is_recorded: bool,
    ) -> EmbeddedCorpus:
        options, directory = self.options, self.options.embeddings_dir
        recipe = _window_recipe(options, self.proxy, self.checkpoint)
        tasks = plan_embedding(self.corpus.domains, self.tokenizer, self.proxy, recipe, first, directory)
        if options.num_samples is not None:
            for task in tasks:
                if task.wanted < options.num_samples:
                    name, length = task.domain.name, recipe.sample_length
                    tell(f"{name} has only {task.wanted} windows of {length} tokens: all are used")
        record = self._record(recipe, tasks, told)
        if is_recorded and not (directory / record.name).exists():
            write_record(directory, record)  # what an interrupt leaves is of use
        while True:
            with quiet_transformers():
                there = embed(tasks, self.tokenizer, self.proxy, recipe, options.embedding_batch_size, tell)
            embedded = {task.domain.name: there[task.domain.name].first(task.wanted) for task in tasks}
            record = self._record(recipe, tasks, told)
            if is_recorded:
                write_record(directory, record)
            found = EmbeddedCorpus(record, embedded)
            wanted = more(found)
            if not wanted:
                return found
            tasks = plan_more(tasks, there, wanted, self.tokenizer, recipe)

    def _record(self, recipe: WindowRecipe, tasks: Sequence[Task], told: Sequence[str]) -> Record:
        domains, added = self.corpus.domains, places_of(self.options.add_domains)
        return Record(
            dataset=place_of(self.dataset),
            settings={
                "dataset": place_of(self.dataset),
                "checkpoint_path": None if self.checkpoint is None else place_of(self.checkpoint),
                "seed": recipe.seed,
                "sample_length": recipe.sample_length,
                "dtype": str(self.proxy.dtype).removeprefix("torch."),
                "block": self.proxy.block,
                **reading_of(self.options),
                **({} if added is None else {"add_domains": added}),
            },
            num_samples=self.options.num_samples,
            windows={task.domain.name: task.wanted for task in tasks},
            files={task.domain.name: task.path.name for task in tasks},
            facts={domain.name: domain.facts for domain in domains if domain.facts},
            sources={
                domain.name: [(unit * UNIT_STEP + at, file) for unit, at, file in domain.files]
                for domain in domains
                if domain.files
            },
            provenance=_provenance(self.corpus, self.proxy, self.tokenizer),
            notices=tuple(told),
            written=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _window_recipe(options: Options, proxy: Proxy, checkpoint: str | None) -> WindowRecipe:
    windows = WindowRecipe(
        seed=DEFAULT_SEED if options.seed is None else options.seed,
        sample_length=DEFAULT_SAMPLE_LENGTH if options.sample_length is None else options.sample_length,
    )
    if windows.sample_length > _LONGEST_WINDOW:
        raise InputError(f"expected a --sample_length up to {_LONGEST_WINDOW}, got {windows.sample_length}")
    if proxy.context is not None and windows.sample_length > proxy.context:
        raise InputError(
            f"a window of {windows.sample_length} tokens is over the context of {proxy.context} tokens of "
            f"{checkpoint}; give --sample_length {proxy.context} or less"
        )
    return windows


def _dataset(options: Options) -> str:
    """The corpus asked for; the built-in one where nothing was named and no proxy is there."""
    if options.dataset is not None:
        return options.dataset
    proxy_is_there = options.checkpoint_path is not None or Path(DEFAULT_CHECKPOINT).exists()
    return DEFAULT_DATASET if proxy_is_there else BUILTIN


def _standin(options: Options, corpus: Corpus, device: torch.device, tell: Notify) -> Path:
    from chameleon.standin import standin_checkpoint

    text = f"the text of {corpus.name}"
    if options.dataset is None:
        text = f"the built-in corpus (text of this Python environment, not {DEFAULT_DATASET})"
    tell(
        f"there is no proxy in {DEFAULT_CHECKPOINT}: using {text} and a small stand-in proxy trained on it "
        f"here. For weights to rely on, {_BETTER_PROXY}"
    )
    return standin_checkpoint(
        [domain.text for domain in corpus.domains], Path(DEFAULT_CHECKPOINT).parent, device
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
