"""Embeds windows with the proxy: in batches that fit the device, checked to be finite.

Shapes: n windows, d width of the proxy.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.proxy.devices import is_out_of_memory
from chameleon.proxy.model import Proxy
from chameleon.text.grid import WindowRecipe
from chameleon.text.windows import Windows

# Tokens of a batch. On CPUs larger batches spill the caches and are slower; on accelerators larger ones
# only cost memory, and are halved where that runs out.
_CPU_BATCH_TOKENS = 1024
_ACCELERATOR_BATCH_TOKENS = 1 << 17


def default_batch_size(proxy: Proxy, windows: WindowRecipe) -> int:
    """Windows of a batch for the proxy's device."""
    tokens = _CPU_BATCH_TOKENS if proxy.device.type == "cpu" else _ACCELERATOR_BATCH_TOKENS
    return max(1, tokens // windows.sample_length)


class Embedder:
    """The proxy, with the batch size that fits.

    On a CPU each batch is computed by one thread, and as many batches at once as torch has threads. So the
    numbers are the same for any number of threads, unlike those of a product that threads share.
    """

    def __init__(self, proxy: Proxy, batch_size: int, notify: Notify) -> None:
        """Set up.

        Args:
            proxy: The model.
            batch_size: Windows of a batch; halved for good where memory runs out.
            notify: Receives a message when that happens.
        """
        self.proxy, self.batch_size, self.notify = proxy, batch_size, notify
        threads = torch.get_num_threads() if proxy.device.type == "cpu" else 1
        self._threads = ThreadPoolExecutor(threads, "embedding") if threads > 1 else None

    def embed(self, domain: str, windows: Windows, first: int) -> npt.NDArray[np.float32]:
        """(n, d) embeddings of windows of a domain; `first` is the number of the first window.

        Raises:
            InputError: A token is outside the proxy's vocabulary, an embedding is not finite (names domain
                and window), or memory does not suffice for a single window.
        """
        largest = int(windows.tokens.max())
        if largest >= self.proxy.vocabulary:
            raise InputError(
                f"the tokenizer gives token {largest}, but the proxy's vocabulary has "
                f"{self.proxy.vocabulary}; name a checkpoint whose tokenizer is its own"
            )
        batches = None
        while batches is None:
            try:
                batches = self._batches(windows)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve_batch(windows.tokens.shape[1])
        embeddings = torch.cat(batches).cpu().numpy()
        self._require_finite(domain, embeddings, first)
        return embeddings

    def _batches(self, windows: Windows) -> list[torch.Tensor]:
        """Embeddings batch by batch."""
        begins = range(0, len(windows.tokens), self.batch_size)
        tokens = [windows.tokens[begin : begin + self.batch_size] for begin in begins]
        lengths = [windows.lengths[begin : begin + self.batch_size] for begin in begins]
        if self.proxy.device.type != "cpu":
            return list(map(self.proxy.embed, tokens, lengths))
        with _single_threaded():
            if self._threads is None:
                return list(map(self.proxy.embed, tokens, lengths))
            return list(self._threads.map(self.proxy.embed, tokens, lengths))

    def _halve_batch(self, length: int) -> None:
        if self.batch_size == 1:
            raise InputError(
                f"not enough memory on {self.proxy.device} for one window of {length} "
                "tokens; use a smaller --sample_length, another --device or a smaller proxy"
            )
        self.batch_size //= 2
        if self.proxy.device.type == "cuda":
            torch.cuda.empty_cache()
        self.notify(f"out of memory: continuing with batches of {self.batch_size} windows")

    def _require_finite(self, domain: str, embeddings: npt.NDArray[np.float32], first: int) -> None:
        finite = np.isfinite(embeddings).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            dtype = str(self.proxy.dtype).removeprefix("torch.")
            raise InputError(
                f"domain {domain}: the embedding of window {first + row} is not finite in {dtype}; "
                "try --dtype float32, or check the checkpoint"
            )


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let torch compute each product with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
