"""Runs methods: one by its name in `FUNCTIONS`, or all of them into one table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from chameleon.common.command_line import Notify
from chameleon.methods.inputs import check_and_pack
from chameleon.methods.law.method import weights_by_law
from chameleon.methods.options import METHODS, MethodOptions
from chameleon.methods.outcome import MethodOutcome
from chameleon.methods.proxy_runs import weights_by_proxies
from chameleon.methods.regmix.method import weights_by_regmix
from chameleon.methods.rules import weights_by_rule
from chameleon.methods.runs import recommended_runs
from chameleon.methods.table import cost_text
from chameleon.report.side_by_side import aligned, draw, render
from chameleon.training.trainer_settings import count_steps
from chameleon.weights.domain_weights import DomainWeights

# From options and what receives notes to weights. A new method goes here; its name and flags go into
# `METHODS` in options.py.
FUNCTIONS: Mapping[str, Callable[[MethodOptions, Notify], MethodOutcome]] = {
    "uniform": partial(weights_by_rule, "uniform"),
    "natural": partial(weights_by_rule, "natural"),
    "temperature": partial(weights_by_rule, "temperature"),
    "regmix": weights_by_regmix,
    "doremi": partial(weights_by_proxies, "doremi"),
    "doge": partial(weights_by_proxies, "doge"),
    "law": weights_by_law,
}


def run_all(
    options: MethodOptions, beside: Sequence[tuple[str, DomainWeights]], picture: Path, notify: Notify
) -> str:
    """Write the weights of each method to a file of its own in the output directory.

    Unless the options name the steps of RegMix's runs, they take as many steps together as DoReMi's models.

    Returns:
        A table of the weights of all methods and their costs, with the labelled weights `beside` them.

    Raises:
        InputError: An option or the corpus cannot be used, or a training run diverged; the weights of earlier
            methods are written.
    """
    trained = [method for method in METHODS if METHODS[method].trains_models]
    options, inputs = check_and_pack(trained, options, notify)
    of_law = replace(options, num_runs=None, run_steps=None)  # those are of RegMix
    if options.run_steps is None:
        runs = options.num_runs or recommended_runs(len(inputs.packed))
        steps = (1 + options.num_seeds) * count_steps(options.training)
        options = replace(options, run_steps=max(1, steps // runs))
    directory, results = options.training.output_dir, list(beside)
    for method in METHODS:
        weights, draw_method = FUNCTIONS[method](
            of_law if method == "law" else options, partial(_notify_of, method, notify)
        )
        weights.write(directory / f"weights_{method}.json")
        if draw_method is not None:
            draw_method(directory / f"weights_{method}.png")
        results.append((method, weights))
    labels, table = [label for label, _ in results], aligned([weights for _, weights in results])
    draw(labels, table, picture)
    width = max(map(len, labels))
    costs = [
        f"{label:<{width}}  {cost_text(weights.diagnostics['cost'])}"
        for label, weights in results
        if "cost" in weights.diagnostics
    ]
    files = [f"weights files  {directory}/weights_*.json", f"picture        {picture}"]
    return "\n".join([render(labels, table), "", "cost", *costs, "", *files])


def _notify_of(method: str, notify: Notify, text: str) -> None:
    notify(f"{method}: {text}")
