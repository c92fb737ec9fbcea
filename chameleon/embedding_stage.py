"""From what a run is asked for to an embedded corpus: finds the text and the proxy, and embeds."""

import platform
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

import chameleon
from chameleon.checkpoints import find_checkpoint
from chameleon.corpora import BUILTIN, Corpus, open_corpus
from chameleon.devices import choose_device, choose_dtype
from chameleon.embedding import embed, plan_embedding
from chameleon.errors import InputError
from chameleon.files import check_writable, digest_of_json, place_of
from chameleon.grid import WindowRecipe
from chameleon.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_DATASET,
    DEFAULT_NUM_SAMPLES,
    DEFAULT_SAMPLE_LENGTH,
    DEFAULT_SEED,
    Options,
)
from chameleon.proxy import POOLING, Proxy, load_proxy
from chameleon.proxy_tokenizer import ProxyTokenizer, load_tokenizer
from chameleon.quiet import quiet_hub, quiet_transformers
from chameleon.reading import corpus_request, reading_of
from chameleon.store import EmbeddedCorpus, Record, write_record

Notify = Callable[[str], None]

# Of a model that sets no bound itself.
_LONGEST_WINDOW = 1 << 20
_BETTER_PROXY = (
    "put a proxy there or name any causal language model, such as --checkpoint_path distilbert/distilgpt2"
)


def embed_corpus(options: Options, notify: Notify) -> EmbeddedCorpus:
    """Embed the corpus that is asked for, so far as it is not stored in the embeddings directory.

    Args:
        options: What is asked for.
        notify: Told in words what the user should know, when it is known.

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
        proxy = load_proxy(checkpoint, device, dtype, options.trust_remote_code)
        return _embed_with(options, corpus, dataset, (tokenizer, proxy, named), told, tell)


def _embed_with(
    options: Options,
    corpus: Corpus,
    dataset: str,
    halves: tuple[ProxyTokenizer, Proxy, str | None],
    told: list[str],
    tell: Notify,
) -> EmbeddedCorpus:
    """Embed the domains of an open corpus with a loaded proxy: its tokenizer, its model, its name."""
    tokenizer, proxy, named = halves
    windows = _window_recipe(options, proxy, named)
    num_samples = options.num_samples or DEFAULT_NUM_SAMPLES
    tasks = plan_embedding(corpus.domains, tokenizer, proxy, windows, num_samples, options.embeddings_dir)
    for task in tasks:
        if task.wanted < num_samples:
            name, length = task.domain.name, windows.sample_length
            tell(f"{name} has only {task.wanted} windows of {length} tokens: all are used")
    record = Record(
        dataset=place_of(dataset),
        settings={
            "dataset": place_of(dataset),
            "checkpoint_path": None if named is None else place_of(named),
            "seed": windows.seed,
            "sample_length": windows.sample_length,
            "dtype": str(proxy.dtype).removeprefix("torch."),
            **reading_of(options),
        },
        num_samples=num_samples,
        files={task.domain.name: task.path.name for task in tasks},
        facts={domain.name: domain.facts for domain in corpus.domains if domain.facts},
        provenance=_provenance(corpus, proxy, tokenizer),
        notices=tuple(told),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if not (options.embeddings_dir / record.name).exists():
        write_record(options.embeddings_dir, record)  # what an interrupt leaves is of use
    with quiet_transformers():
        embedded = embed(tasks, tokenizer, proxy, windows, options.embedding_batch_size, tell)
    write_record(options.embeddings_dir, record)
    return EmbeddedCorpus(record, embedded)


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
