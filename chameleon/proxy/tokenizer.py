"""The tokenizer of a checkpoint."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from chameleon.common.errors import InputError, one_line
from chameleon.common.libraries import quiet_transformers


@dataclass(frozen=True)
class ProxyTokenizer:
    """The proxy's tokenizer: text to ids and where they begin, without special tokens."""

    tokenizer: PreTrainedTokenizerBase
    end_of_text: int
    digest: str

    def encode(self, texts: Sequence[str]) -> list["ProxyTokens"]:
        """See `chameleon.text.protocols.Tokenizer`."""
        encodings = self.tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [ProxyTokens(text, each) for text, each in zip(texts, encodings, strict=True)]

    @property
    def vocabulary(self) -> int:
        """Its ids are 0 to vocabulary - 1."""
        return len(self.tokenizer)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, faster than `encode` as their positions are not computed."""
        encodings = self.tokenizer.backend_tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [each.ids for each in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included."""
        text: str = self.tokenizer.backend_tokenizer.decode(list(ids), skip_special_tokens=False)
        return text


@dataclass(frozen=True)
class ProxyTokens:
    """Encoded text (`chameleon.text.protocols.Encoded`); the library's form, since lists are slow."""

    text: str
    encoding: Encoding

    @property
    def ids(self) -> npt.NDArray[np.int32]:
        """See `chameleon.text.protocols.Encoded`."""
        return np.array(self.encoding.ids, dtype=np.int32)

    @property
    def begins(self) -> npt.NDArray[np.int64]:
        """See `chameleon.text.protocols.Encoded`."""
        return np.array([begin for begin, _ in self.encoding.offsets], dtype=np.int64)

    def between(self, begin: int, end: int) -> npt.NDArray[np.int32]:
        """See `chameleon.text.protocols.Encoded`."""
        return np.array(self.encoding.ids[self._first_from(begin) : self._first_from(end)], dtype=np.int32)

    def _first_from(self, character: int) -> int:
        """The first token that begins at a character or after it."""
        if character >= len(self.text):
            return len(self.encoding)
        tokens = (self.encoding.char_to_token(at) for at in range(character, len(self.text)))
        token = next((each for each in tokens if each is not None), len(self.encoding))
        while token < len(self.encoding) and self._begin(token) < character:
            token += 1
        while token > 0 and self._begin(token - 1) >= character:
            token -= 1  # tokens without characters of their own
        return token

    def _begin(self, token: int) -> int:
        span: Any = self.encoding.token_to_chars(token)
        return int(span[0])


def load_tokenizer(checkpoint: Path, trust_remote_code: bool = False) -> ProxyTokenizer:
    """The tokenizer of a checkpoint directory.

    Raises:
        InputError: There is no tokenizer, it is not one of the `tokenizers` library, or it has no
            end-of-text token.
    """
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=trust_remote_code)
    except Exception as error:  # damaged files make the library raise many kinds
        raise InputError(unloadable(checkpoint, "tokenizer", error)) from None
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            f"the tokenizer of {checkpoint} ({type(tokenizer).__name__}) is not one of the tokenizers "
            "library; save it as tokenizer.json"
        )
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise InputError(f"{checkpoint} holds no tokenizer; put the tokenizer's files beside the weights")
    end_of_text = tokenizer.eos_token_id
    if end_of_text is None:
        raise InputError(f"the tokenizer of {checkpoint} has no end-of-text token (eos_token); set one in it")
    # Settings of the checkpoint's training; windows need whole text.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    # It would add special tokens, and trim the offsets of tokens that are spaces.
    tokenizer.backend_tokenizer.post_processor = None
    definition = tokenizer.backend_tokenizer.to_str()
    digest = hashlib.sha256(f"{end_of_text} {definition}".encode()).hexdigest()
    return ProxyTokenizer(tokenizer, int(end_of_text), digest)


def unloadable(checkpoint: Path, what: str, error: Exception) -> str:
    """The message for a part of a checkpoint that the library cannot load."""
    reason = one_line(error, 300)
    if "ignore_mismatched_sizes" in reason:  # the library's message refers to a report that it prints
        reason = "its weights are not of the sizes that its config.json says"
    kind = type(error).__name__
    return f"cannot load the {what} of {checkpoint} ({kind}: {reason}); use another, or fix its files"
