"""A byte-level BPE learnt from a corpus, for models that have no tokenizer yet."""

from collections.abc import Iterator, Sequence

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from chameleon.text.excerpts import Start, stretch_from
from chameleon.text.protocols import Text

END_OF_TEXT = "<|endoftext|>"


# Of a domain in several units, so many of them are looked at.
_SAMPLED_UNITS = 8


_STRETCHES = 32


def train_tokenizer(texts: Sequence[Text], vocabulary: int, bytes_per_domain: int) -> PreTrainedTokenizerFast:
    """A tokenizer learnt from an equal amount of text of each domain.

    Args:
        texts: The domains'.
        vocabulary: Entries, the 256 bytes and the end-of-text token among them; fewer where the text has
            no more to merge.
        bytes_per_domain: How much to learn from, in stretches over all of the domain.
    """
    return learn_tokenizer((part for text in texts for part in _sample(text, bytes_per_domain)), vocabulary)


def learn_tokenizer(parts: Iterator[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer learnt from all of some text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(parts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token=END_OF_TEXT
    )


def _sample(text: Text, num_bytes: int) -> Iterator[str]:
    """Stretches of a domain, evenly over its first units."""
    order = np.arange(len(text.unit_keys), dtype=np.int64)
    units = order[:_SAMPLED_UNITS]
    text.expect(units.tolist())
    length = num_bytes // _STRETCHES
    for index in units.tolist():
        unit = text.unit(index)
        number = max(1, _STRETCHES // len(units))
        for i in range(number if unit.length else 0):
            begin, end = i * unit.length // number, (i + 1) * unit.length // number
            pieces, *_ = stretch_from(Start(text, order, index, begin), 0, min(length, end - begin))
            yield from (piece.kept for piece in pieces)
