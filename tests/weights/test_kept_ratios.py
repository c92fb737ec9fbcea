"""Relative shares of existing domains are kept where domains are added."""

import numpy as np
import pytest

from chameleon.common.errors import InputError
from chameleon.weights.domain_weights import DomainWeights
from chameleon.weights.kept_ratios import KeptRatios


def test_kept_ratios_leave_new_domains_their_weight() -> None:
    before = DomainWeights(names=("a", "b", "gone"), weights=np.array([0.3, 0.1, 0.6]), method="x")
    kept = KeptRatios.of(("b", "new", "a"), before, None)
    mixed = kept.mixed(np.array([0.5, 0.2, 0.3]))
    np.testing.assert_allclose(mixed, [0.8 * 0.25, 0.2, 0.8 * 0.75])
    replicated = np.array([[0.2, 0.2, 0.6], [0.6, 0.2, 0.2]])
    both = KeptRatios.of(("b", "new", "a"), before, replicated).mixed_replicates(
        np.array([[0.5, 0.2, 0.3]] * 2)
    )
    np.testing.assert_allclose(both, [[0.4, 0.2, 0.4], [0.2, 0.2, 0.6]])
    with pytest.raises(InputError, match="--keep_ratios"):
        KeptRatios.of(("c", "d"), before, None)
