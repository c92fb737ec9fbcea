"""Runs one method: from its name and options to its weights."""

from collections.abc import Callable, Mapping
from functools import partial

from chameleon.common.command_line import Notify
from chameleon.methods.options import MethodOptions
from chameleon.methods.outcome import MethodOutcome
from chameleon.methods.proxy_runs import weights_by_proxies
from chameleon.methods.regmix.method import weights_by_regmix
from chameleon.methods.rules import weights_by_rule

# A new method goes here; its name and flags go into `METHODS` in options.py.
FUNCTIONS: Mapping[str, Callable[[MethodOptions, Notify], MethodOutcome]] = {
    "uniform": partial(weights_by_rule, "uniform"),
    "natural": partial(weights_by_rule, "natural"),
    "temperature": partial(weights_by_rule, "temperature"),
    "regmix": weights_by_regmix,
    "doremi": partial(weights_by_proxies, "doremi"),
    "doge": partial(weights_by_proxies, "doge"),
}


def run(method: str, options: MethodOptions, notify: Notify) -> MethodOutcome:
    """Weights by a method.

    Args:
        method: One of `chameleon.methods.options.METHODS`.
        options: What is asked for.
        notify: Receives notes, one sentence each.

    Raises:
        InputError: An option or the corpus cannot be used, or a training run diverged.
    """
    return FUNCTIONS[method](options, notify)
