"""What embedding needs, opened as a run asks for it: the corpus, the tokenizer, the proxy."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from chameleon.checkpoints import find_checkpoint
from chameleon.corpora import Corpus, Domain, open_corpus
from chameleon.devices import choose_device, choose_dtype
from chameleon.domains import require_removable
from chameleon.errors import InputError
from chameleon.grid import WindowRecipe
from chameleon.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_DATASET,
    DEFAULT_SAMPLE_LENGTH,
    DEFAULT_SEED,
    Options,
    checkpoint_of,
    dataset_of,
)
from chameleon.proxy import Proxy, load_proxy
from chameleon.proxy_tokenizer import ProxyTokenizer, load_tokenizer
from chameleon.quiet import quiet_hub
from chameleon.reading import corpus_request

Notify = Callable[[str], None]

# Of a model that sets no bound itself.
_LONGEST_WINDOW = 1 << 20
_BETTER_PROXY = (
    "put a proxy there or name any causal language model, such as --checkpoint_path distilbert/distilgpt2"
)


@dataclass(frozen=True, eq=False)
class Opened:
    """An open corpus and a loaded proxy.

    Attributes:
        options: What was asked for.
        dataset: Name of the corpus.
        checkpoint: Name of the proxy.
        corpus: Its domains in use.
        removed: Domains that are not in use.
        tokenizer, proxy: The proxy's two halves.
        recipe: Which windows are cut.
    """

    options: Options
    dataset: str
    checkpoint: str
    corpus: Corpus
    removed: tuple[Domain, ...]
    tokenizer: ProxyTokenizer
    proxy: Proxy
    recipe: WindowRecipe


@contextmanager
def opened(
    options: Options, notify: Notify, runs_on: tuple[torch.device, torch.dtype] | None = None
) -> Iterator[Opened]:
    """Corpus and proxy while they are in use.

    Args:
        options: What is asked for.
        notify: Told in words what the user should know.
        runs_on: Device and dtype of the proxy; by default as the options say.

    Raises:
        InputError: Corpus or checkpoint cannot be had or used.
    """
    device = choose_device(options.device) if runs_on is None else runs_on[0]
    dataset = dataset_of(options)
    # A checkpoint that cannot be had is told before a corpus is read.
    named = checkpoint_of(options)
    checkpoint = None if named is None else find_checkpoint(named)
    tokenizer = None if checkpoint is None else load_tokenizer(checkpoint, options.trust_remote_code)
    request = corpus_request(options, dataset, tokenizer, options.embeddings_dir)
    with quiet_hub(), closing(open_corpus(request)) as corpus:
        for notice in corpus.notices:
            notify(notice)
        if checkpoint is None or tokenizer is None:
            checkpoint = _standin(options, corpus, device, notify)
            tokenizer = load_tokenizer(checkpoint, options.trust_remote_code)
        named = named or str(checkpoint)
        dtype = choose_dtype(options.dtype, device) if runs_on is None else runs_on[1]
        proxy = load_proxy(checkpoint, device, dtype, options.trust_remote_code, options.block)
        require_removable([domain.name for domain in corpus.domains], options.remove_domains)
        removed = tuple(domain for domain in corpus.domains if domain.name in options.remove_domains)
        kept = tuple(domain for domain in corpus.domains if domain.name not in options.remove_domains)
        in_use = replace(corpus, domains=kept) if removed else corpus
        recipe = _window_recipe(options, proxy, named)
        yield Opened(options, dataset, named, in_use, removed, tokenizer, proxy, recipe)


def _window_recipe(options: Options, proxy: Proxy, checkpoint: str) -> WindowRecipe:
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


def _standin(options: Options, corpus: Corpus, device: torch.device, notify: Notify) -> Path:
    from chameleon.standin import standin_checkpoint

    text = f"the text of {corpus.name}"
    if options.dataset is None:
        text = f"the built-in corpus (text of this Python environment, not {DEFAULT_DATASET})"
    notify(
        f"there is no proxy in {DEFAULT_CHECKPOINT}: using {text} and a small stand-in proxy trained on it "
        f"here. For weights to rely on, {_BETTER_PROXY}"
    )
    return standin_checkpoint(
        [domain.text for domain in corpus.domains], Path(DEFAULT_CHECKPOINT).parent, device
    )
