"""What embedding needs, as a run asks for it: the corpus, the tokenizer, the proxy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
class LoadedProxy(OpenCorpus):
    """An open corpus and a loaded proxy.

    Attributes:
        path: Directory of the proxy's checkpoint.
        tokenizer, proxy: The proxy's two halves.
    """

    path: Path
    tokenizer: ProxyTokenizer
    proxy: Proxy

    @property
    def identity(self) -> ProxyIdentity:
        """What goes into the names of embeddings."""
        return identity_of(self.tokenizer, self.proxy)


def identity_of(tokenizer: ProxyTokenizer, proxy: Proxy) -> ProxyIdentity:
    """What of a loaded proxy goes into the names of embeddings."""
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
    """Corpus and proxy while they are in use.

    Args:
        options: What is asked for.
        notify: Told in words what the user should know.
        runs_on: Device and dtype of the proxy; by default as the options say.

    Raises:
        InputError: Corpus or checkpoint cannot be had or used.
    """
    device = choose_device(options.device) if runs_on is None else runs_on[0]
    # A checkpoint that cannot be had is told before a corpus is read.
    named = checkpoint_of(options)
    path = None if named is None else find_checkpoint(named)
    tokenizer = None if path is None else load_tokenizer(path, options.trust_remote_code)
    digest = None if tokenizer is None else tokenizer.digest
    with open_run_corpus(options, named or "", digest, notify) as there:
        if path is None or tokenizer is None:
            path = _standin(options, there.whole, device, notify)
            tokenizer = load_tokenizer(path, options.trust_remote_code)
        dtype = choose_dtype(options.dtype, device) if runs_on is None else runs_on[1]
        proxy = load_proxy(path, device, dtype, options.trust_remote_code, options.block)
        name = named or str(path)
        _require_within_context(there.recipe, proxy, name)
        yield LoadedProxy(**{**vars(there), "checkpoint": name}, path=path, tokenizer=tokenizer, proxy=proxy)


def _require_within_context(windows: WindowRecipe, proxy: Proxy, checkpoint: str) -> None:
    if proxy.context is not None and windows.sample_length > proxy.context:
        raise InputError(
            f"a window of {windows.sample_length} tokens is over the context of {proxy.context} tokens of "
            f"{checkpoint}; give --sample_length {proxy.context} or less"
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
