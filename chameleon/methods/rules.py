"""Weights from token counts alone: uniform, natural, and temperature between them.

Shapes: k domains.
"""

from dataclasses import replace
from time import perf_counter

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.command_line import Notify
from chameleon.methods.cost import Cost
from chameleon.methods.options import MethodOptions
from chameleon.methods.outcome import MethodOutcome, method_weights
from chameleon.methods.token_counts import counts_in_file, packed_counts
from chameleon.training.inputs import prepare_inputs


def weights_by_rule(method: str, options: MethodOptions, notify: Notify) -> MethodOutcome:
    """Weights by uniform, natural or temperature.

    Raises:
        InputError: The token counts or the corpus cannot be read.
    """
    begin = perf_counter()
    if options.token_counts is not None:
        tokens = counts_in_file(options.token_counts)
    else:
        tokens = packed_counts(options, prepare_inputs(replace(options.training, weights="uniform"), notify))
    assert tokens.counts is not None
    temperature = {"uniform": np.inf, "natural": 1.0}.get(method, options.temperature)
    shares = temperature_shares(np.array(list(tokens.counts.values()), dtype=np.float64), temperature)
    settings = {"temperature": temperature} if method == "temperature" else {}
    diagnostics = {"cost": Cost(seconds=perf_counter() - begin).to_dict()}
    names = tuple(tokens.counts)
    return MethodOutcome(method_weights(method, names, shares, options, tokens, settings, diagnostics))


def temperature_shares(counts: Array, temperature: float) -> Array:
    """Shares in proportion to counts^(1 / temperature).

    At 1 they are natural, towards infinity uniform. Used for multilingual models (mBERT, XLM-R, mT5).

    Args:
        counts: (k,) tokens, not negative, at least one above 0.
        temperature: Above 0, or infinity.
    """
    with np.errstate(divide="ignore"):
        logits = np.log(counts / counts.max()) / temperature if np.isfinite(temperature) else 0.0 * counts
    shares = np.exp(logits)
    return np.asarray(shares / shares.sum())
