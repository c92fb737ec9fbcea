"""What the text of other domains is likely to count for a domain's loss, by the pairs of tokens they share.

A bigram model of a mixture w, in which a pair (h, x) has the frequency a_j(h, x) in domain j, predicts x
after h with the probability

    p(x | h) = (sum_j w_j a_j(h, x) + alpha p(x)) / (sum_j w_j a_j(h) + alpha)

where p(x) is a unigram model of the mixture. The derivative of its loss on held-out text of domain l by w_j,
at uniform weights and relative to that by w_l, is what a token of domain j is worth there in tokens of its
own. Small language models learn such pairs first.

Shapes: k domains, p pairs of held-out tokens of a domain.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array

Tokens = npt.NDArray[np.integer]

# Tokens of a domain that are counted, in pieces, and held-out ones that the model is measured on: at most
# these, and fewer with many domains, of all of them together and of all pairs of them.
_COUNTED, _COUNTED_OF_ALL, _PIECE = 1 << 20, 1 << 26, 1 << 12
_MEASURED, _MEASURED_OF_ALL, _LEAST_MEASURED = 1 << 15, 1 << 24, 1 << 9

# alpha: a first token that is one of a thousand is followed half by what it was seen with.
_ALPHA = 1e-3

# Share of the unigram model that all tokens of the vocabulary have alike.
_UNSEEN = 0.005


def overlaps(training: Sequence[Tokens], heldout: Sequence[Tokens], vocabulary: int) -> Array:
    """(k, k) worth of a token of each domain for the loss on each domain's text; from 0 to 1, of its own 1.

    Args:
        training: Tokens of the k domains.
        heldout: Others of the same domains.
        vocabulary: Number of different tokens.
    """
    k = len(training)
    counted = min(_COUNTED, max(_COUNTED_OF_ALL // k, _PIECE))
    measured = min(_MEASURED, max(_MEASURED_OF_ALL // k**2, _LEAST_MEASURED))
    samples = [_sample(tokens, counted) for tokens in training]
    alone = np.stack([_frequencies(np.bincount(each, minlength=vocabulary)) for each in samples])
    sorted_pairs = [np.sort(_pairs(each)) for each in samples]
    unigram = (alone.mean(axis=0) + _UNSEEN / vocabulary) / (1 + _UNSEEN)
    shares = np.eye(k)
    for domain, tokens in enumerate(heldout):
        text = tokens[:measured]
        worth = _worth(text, sorted_pairs, alone, unigram)
        if worth[domain] > 0:
            shares[domain] = np.clip(worth / worth[domain], 0.0, 1.0)
    return shares


def _worth(
    text: Tokens, sorted_pairs: Sequence[npt.NDArray[np.int64]], alone: Array, unigram: Array
) -> Array:
    """(k,) how fast the loss of the bigram model on a text falls as the weight of each domain grows."""
    if len(text) < 2:
        return np.zeros(len(alone))
    pairs, first, second = _pairs(text), text[:-1], text[1:]
    together = np.stack([_counts(of_domain, pairs) / max(len(of_domain), 1) for of_domain in sorted_pairs])
    joint = together.mean(axis=0) + _ALPHA * unigram[second]
    rising = together + _ALPHA * (alone[:, second] - unigram[second]) / (1 + _UNSEEN)
    falling = alone[:, first] / (alone[:, first].mean(axis=0) + _ALPHA)
    return np.asarray((rising / joint - falling).mean(axis=1))


def _pairs(tokens: Tokens) -> npt.NDArray[np.int64]:
    """Each token and the next one, as one number."""
    wide = tokens.astype(np.int64)
    return (wide[:-1] << 32) | wide[1:]


def _counts(rising: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How often each value occurs among rising ones."""
    return np.searchsorted(rising, values, "right") - np.searchsorted(rising, values, "left")


def _frequencies(counts: npt.NDArray[np.int64]) -> Array:
    return np.asarray(counts / max(int(counts.sum()), 1))


def _sample(tokens: Tokens, number: int) -> Tokens:
    """At most so many tokens, in pieces at equal distances."""
    if len(tokens) <= number:
        return np.asarray(tokens)
    begins = np.linspace(0, len(tokens) - _PIECE, number // _PIECE).astype(np.int64)
    return np.concatenate([tokens[begin : begin + _PIECE] for begin in begins.tolist()])
