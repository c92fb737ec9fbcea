"""What other domains' text counts for a loss: against a bigram model written out, and on known texts.

Shapes: k domains, n tokens.
"""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from chameleon.common.arrays import Array
from chameleon.methods.law import overlap
from chameleon.methods.law.overlap import overlaps

VOCABULARY = 12
Text = npt.NDArray[np.int64]


def texts(k: int, n: int, seed: int, part: int = 0) -> list[Text]:
    """Random text of k domains, which like some pairs of tokens; all but the last like similar ones."""
    tables = np.random.default_rng(seed).dirichlet(np.full(VOCABULARY, 0.3), size=(k + 1, VOCABULARY))
    tables[:-2] = 0.3 * tables[:-2] + 0.7 * tables[-1]
    random, found = np.random.default_rng([seed, part]), []
    for table in tables[:-1]:
        tokens = [0]
        for _ in range(n - 1):
            tokens.append(int(random.choice(VOCABULARY, p=table[tokens[-1]])))
        found.append(np.array(tokens))
    return found


def bigram_loss(weights: Array, training: list[Text], text: Text) -> float:
    """Mean loss in nats of the model on the pairs of a text, by the formula."""
    singles = [Counter(each.tolist()) for each in training]
    pairs = [Counter(zip(each.tolist(), each.tolist()[1:], strict=False)) for each in training]

    def mixed(counters: list[Counter[Any]], key: object) -> float:
        return float(sum(w * c[key] / c.total() for w, c in zip(weights, counters, strict=True)))

    losses = []
    for first, second in zip(text.tolist(), text.tolist()[1:], strict=False):
        unigram = (mixed(singles, second) + 0.005 / VOCABULARY) / (weights.sum() + 0.005)
        joint = mixed(pairs, (first, second)) + 1e-3 * unigram
        losses.append(-np.log(joint / (mixed(singles, first) + 1e-3)))
    return float(np.mean(losses))


def test_the_worth_of_a_token_is_the_derivative_of_a_bigram_models_loss() -> None:
    training, heldout = texts(3, 400, 0), texts(3, 200, 0, part=1)
    worth = np.empty((3, 3))
    for loss, text in enumerate(heldout):
        for domain in range(3):
            step = np.zeros(3)
            step[domain] = 1e-5
            ends = [bigram_loss(np.full(3, 1 / 3) + sign * step, training, text) for sign in (-1, 1)]
            worth[loss, domain] = (ends[0] - ends[1]) / 2e-5
    expected = np.clip(worth / np.diag(worth)[:, None], 0, 1)
    assert (expected > 0.05).sum() > 3  # more than the diagonal
    np.testing.assert_allclose(overlaps(training, heldout, VOCABULARY), expected, atol=1e-6)


def test_equal_domains_count_as_much_as_their_own_and_others_nothing() -> None:
    training, heldout = texts(2, 3000, 1), texts(2, 500, 1, part=1)
    apart = [training[0], training[0], training[1] + VOCABULARY]
    found = overlaps(apart, [heldout[0], heldout[0], heldout[1] + VOCABULARY], 2 * VOCABULARY)
    np.testing.assert_allclose(found, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])


def test_order_of_domains_does_not_matter() -> None:
    training, heldout = texts(4, 500, 2), texts(4, 200, 2, part=1)
    order = [2, 0, 3, 1]
    turned = overlaps([training[i] for i in order], [heldout[i] for i in order], VOCABULARY)
    np.testing.assert_allclose(turned, overlaps(training, heldout, VOCABULARY)[np.ix_(order, order)])


@pytest.mark.parametrize("size", [0, 1, 2])
def test_domains_with_hardly_any_text_count_for_themselves(size: int) -> None:
    training, heldout = texts(3, 300, 4), texts(3, 100, 4, part=1)
    for found in (
        overlaps([training[0][:size], *training[1:]], heldout, VOCABULARY),
        overlaps(training, [heldout[0][:size], *heldout[1:]], VOCABULARY),
    ):
        np.testing.assert_array_equal(np.diag(found), 1)
        assert ((found >= 0) & (found <= 1)).all()


def test_a_part_of_long_text_stands_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    training, heldout = texts(3, 20_000, 5), texts(3, 3000, 5, part=1)
    whole = overlaps(training, heldout, VOCABULARY)
    monkeypatch.setattr(overlap, "_COUNTED", 5000)
    monkeypatch.setattr(overlap, "_PIECE", 100)
    part = overlaps(training, heldout, VOCABULARY)
    assert not np.array_equal(part, whole)
    np.testing.assert_allclose(part, whole, atol=0.05)
