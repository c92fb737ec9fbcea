"""Opens what a run embeds with: the corpus, the tokenizer and the proxy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import tokenizers
import torch
import transformers

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.embeddings.keys import ProxyIdentity
from chameleon.embeddings.open_corpus import OpenCorpus, open_run_corpus
from chameleon.embeddings.options import EmbeddingOptions, checkpoint_of
from chameleon.proxy.checkpoints import DEFAULT_CHECKPOINT, find_checkpoint
from chameleon.proxy.devices import choose_device, choose_dtype
from chameleon.proxy.model import Proxy, load_proxy
from chameleon.proxy.tokenizer import ProxyTokenizer, load_tokenizer
from chameleon.text.corpora import Corpus
from chameleon.text.grid import WindowRecipe
from chameleon.text.options import DEFAULT_DATASET

_BETTER_PROXY = (
    "put a proxy there or name any causal language model, such as --checkpoint_path distilbert/distilgpt2"
)


@dataclass(frozen=True, eq=False)
class LoadedProxy:
    """A loaded proxy and the corpus that it embeds.

    Attributes:
        opened: The corpus.
        path: Directory of the proxy's checkpoint.
        tokenizer, proxy: The two halves of the proxy.
    """

    opened: OpenCorpus
    path: Path
    tokenizer: ProxyTokenizer
    proxy: Proxy

    @property
    def identity(self) -> ProxyIdentity:
        """The part of the names of embeddings that the proxy decides."""
        return identity_of(self.tokenizer, self.proxy)


def identity_of(tokenizer: ProxyTokenizer, proxy: Proxy) -> ProxyIdentity:
    """The part of the names of embeddings that a loaded proxy decides."""
    return ProxyIdentity(
        digest=proxy.digest,
        tokenizer_digest=tokenizer.digest,
        block=proxy.block,
        num_blocks=proxy.num_blocks,
        width=proxy.width,
        dtype=str(proxy.dtype).removeprefix("torch."),
        device=proxy.device.type,
        libraries={
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    )


@contextmanager
def load_run_proxy(
    options: EmbeddingOptions, notify: Notify, runs_on: tuple[torch.device, torch.dtype] | None = None
) -> Iterator[LoadedProxy]:
    """Open the corpus and load the proxy that a run asks for.

    Args:
        options: The options of the run.
        notify: Receives messages for the user.
        runs_on: Device and dtype of the proxy (default: by the options).

    Raises:
        InputError: Corpus or checkpoint cannot be opened or used.
    """
    device = choose_device(options.device) if runs_on is None else runs_on[0]
    # Fail before reading the corpus.
    named = checkpoint_of(options)
    path = None if named is None else find_checkpoint(named)
    tokenizer = None if path is None else load_tokenizer(path, options.trust_remote_code)
    digest = None if tokenizer is None else tokenizer.digest
    with open_run_corpus(options, named or "", digest, notify) as opened:
        if path is None or tokenizer is None:
            path = _standin(options, opened.whole, device, notify)
            tokenizer = load_tokenizer(path, options.trust_remote_code)
        dtype = choose_dtype(options.dtype, device) if runs_on is None else runs_on[1]
        proxy = load_proxy(path, device, dtype, options.trust_remote_code, options.block)
        opened = replace(opened, checkpoint=named or str(path))
        _require_within_context(opened.recipe, proxy, opened.checkpoint)
        yield LoadedProxy(opened, path, tokenizer, proxy)


def _require_within_context(windows: WindowRecipe, proxy: Proxy, checkpoint: str) -> None:
    if proxy.context is not None and windows.sample_length > proxy.context:
        raise InputError(
            f"a window of {windows.sample_length} tokens is over the context of {proxy.context} tokens of "
            f"{checkpoint}; use --sample_length {proxy.context} or less"
        )


def _standin(options: EmbeddingOptions, corpus: Corpus, device: torch.device, notify: Notify) -> Path:
    from chameleon.training.standin import standin_checkpoint

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
