"""All methods on one corpus, in one table and one picture.

Shapes: k domains.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from chameleon.compare import aligned, draw, render
from chameleon.domain_weights import DomainWeights
from chameleon.rivals.options import METHODS, RivalOptions
from chameleon.rivals.regmix.regression import wanted_runs
from chameleon.rivals.run import require_one_process, require_possible, run
from chameleon.rivals.table import cost_in_words
from chameleon.training.arguments import number_of_steps
from chameleon.training.ground import prepare

Notify = Callable[[str], None]


def run_all(
    options: RivalOptions,
    beside: Sequence[tuple[str, DomainWeights]],
    directory: Path,
    picture: Path,
    notify: Notify,
) -> str:
    """Weights by each method, in files of their own, and a table of them.

    Args:
        options: What is asked for. RegMix's runs together take as many steps as DoReMi's models, unless it
            says how many each takes.
        beside: Other weights to show, with what they are called.
        directory: Where the weights files go.
        picture: Where the picture of all goes.
        notify: Told, in a sentence each, what the user should know.

    Raises:
        InputError: As of `run`; what was found before is written.
    """
    require_one_process(options.training.gradient_accumulation_steps)
    ground = prepare(replace(options.training, weights="uniform"), notify)
    options = replace(options, training=replace(options.training, tokenizer=str(ground.tokenizer_path)))
    if options.run_steps is None:
        number = options.num_runs or wanted_runs(len(ground.packed))
        steps = (1 + options.num_seeds) * number_of_steps(options.training)
        options = replace(options, run_steps=max(1, steps // number))
    for method in ("regmix", "doremi", "doge"):
        require_possible(method, options, tuple(domain.name for domain in ground.packed))
    found = list(beside)
    for method in METHODS:
        outcome = run(method, options, partial(_say, notify, method))
        outcome.weights.write(directory / f"weights_{method}.json")
        if outcome.draw is not None:
            outcome.draw(directory / f"weights_{method}.png")
        found.append((method, outcome.weights))
    labels, table = [label for label, _ in found], aligned([weights for _, weights in found])
    draw(labels, table, picture)
    width = max(len(label) for label in labels)
    costs = [
        f"{label:<{width}}  {cost_in_words(weights.diagnostics['cost'])}"
        for label, weights in found
        if "cost" in weights.diagnostics
    ]
    lines = [render(labels, table), "", "cost", *costs, "", f"weights files  {directory}/weights_*.json"]
    return "\n".join([*lines, f"picture        {picture}"])


def _say(notify: Notify, method: str, text: str) -> None:
    notify(f"{method}: {text}")
