"""A byte-level BPE trained on a corpus, for models that have no tokenizer yet."""

from collections.abc import Iterator, Sequence

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from chameleon.text.excerpts import Start, read_stretch
from chameleon.text.protocols import Text

END_OF_TEXT = "<|endoftext|>"

# Excerpts to train on per domain, and the units (such as files) that they are taken from.
_EXCERPTS = 32
_MAX_UNITS = 8


def train_tokenizer(texts: Sequence[Text], vocabulary: int, bytes_per_domain: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer on the same amount of text from each domain.

    Args:
        texts: Texts of the domains.
        vocabulary: Entries, including the 256 bytes and the end-of-text token; fewer if the text has no more
            pairs to merge.
        bytes_per_domain: Bytes of text, in excerpts spread over the domain.
    """
    return train_bpe((part for text in texts for part in _excerpts(text, bytes_per_domain)), vocabulary)


def train_bpe(parts: Iterator[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer on all of some text."""
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


def _excerpts(text: Text, num_bytes: int) -> Iterator[str]:
    """Excerpts of a domain, evenly spread over its first units."""
    order = np.arange(len(text.unit_keys), dtype=np.int64)
    units = order[:_MAX_UNITS].tolist()
    text.prefetch(units)
    length = num_bytes // _EXCERPTS
    number = max(1, _EXCERPTS // max(len(units), 1))
    for index in units:
        unit = text.unit(index)
        for i in range(number if unit.length else 0):
            begin, end = i * unit.length // number, (i + 1) * unit.length // number
            excerpts, *_ = read_stretch(Start(text, order, index, begin), 0, min(length, end - begin))
            yield from (excerpt.content for excerpt in excerpts)
