"""Rules on token counts alone: uniform, natural, and shares flattened by a temperature.

Shapes: k domains.
"""

import numpy as np

from chameleon.affinity import Array


def tempered(counts: Array, temperature: float) -> Array:
    """Shares in proportion to counts^(1 / temperature).

    At 1 they are natural, towards infinity uniform. Multilingual models are trained so (mBERT, XLM-R, mT5).

    Args:
        counts: (k,) tokens, not negative, one at least above 0.
        temperature: Above 0, or infinity.
    """
    with np.errstate(divide="ignore"):
        logits = np.log(counts / counts.max()) / temperature if np.isfinite(temperature) else 0.0 * counts
    shares = np.exp(logits)
    return np.asarray(shares / shares.sum())
