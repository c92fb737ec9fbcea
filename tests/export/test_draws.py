"""How trainers draw."""

from typing import get_args

import numpy as np
import pytest

from chameleon.export.draws import draw
from chameleon.export.formats import Draws


@pytest.mark.parametrize("how", get_args(Draws))
def test_draws_are_close_to_the_weights(how: Draws) -> None:
    numbers = np.array([1.0, 3.0, 6.0, 0.0])
    counts = draw(numbers, 20_000, how)
    assert counts.sum() == 20_000
    assert counts[3] == 0
    bound = {"quota": 1, "even": 1, "random": 400, "blocks": 30}[how]
    assert np.abs(counts - numbers * 2000).max() <= bound


def test_even_draws_are_those_of_megatron() -> None:
    """By hand: always the one that is furthest behind its share so far."""
    assert draw(np.array([0.5, 0.25, 0.25]), 4, "even").tolist() == [2, 1, 1]
    assert draw(np.array([0.9, 0.1]), 2, "even").tolist() == [1, 1]
    assert draw(np.array([0.9, 0.1]), 5, "even").tolist() == [4, 1]
