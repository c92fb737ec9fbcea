"""What is wrong with a trainer's file, a sentence for each problem.

Shapes: k domains.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.export.budget import format_tokens
from chameleon.export.checked_file import CheckedFile, FileShares, shares_in_file
from chameleon.export.draws import is_undrawn
from chameleon.export.parse import ParsedFile
from chameleon.export.trainers.yaml_configs import LEVANTER_BLOCK

# Repeated more often than this, text has little more to give (Muennighoff et al. 2023).
MANY_EPOCHS = 4


def find_problems(checked: CheckedFile) -> list[str]:
    """All that is wrong with a file."""
    weights = checked.plan.weights
    return [
        *checked.parsed.problems,
        *checked.read.problems,
        *_number_problems(checked.read, checked.parsed, weights.names, weights.weights),
        *_draw_problems(checked),
        *_epoch_problems(checked),
        *_stage_problems(checked),
    ]


def _number_problems(
    read: FileShares, parsed: ParsedFile, names: Sequence[str], requested: Array
) -> list[str]:
    """Shares other than those requested, with what may have gone wrong."""
    problems = []
    total = sum(parsed.numbers.values())
    if parsed.must_sum_to_1 and abs(total - 1) > 1e-8:  # numpy's tolerance
        problems.append(f"its numbers sum to {total:.10g}; the trainer wants shares that sum to 1")
    off = _is_off(read.shares, requested)
    if not off.any():
        return problems
    if not _is_off(read.numbers, requested).any():
        problems.append(
            "its numbers are shares of tokens, but the trainer counts rows: long rows get too much"
        )
    elif np.allclose(np.sort(read.shares), np.sort(requested), atol=1e-6):
        wrong = [name for name, is_off in zip(names, off, strict=True) if is_off]
        problems.append(f"its numbers are those requested, but belong to other domains: {', '.join(wrong)}")
    for i in np.flatnonzero(off).tolist():
        problems.append(f"{names[i]}: {read.shares[i]:.4g} of tokens, requested {requested[i]:.4g}")
    return problems


def _is_off(shares: Array, requested: Array) -> npt.NDArray[np.bool_]:
    """(k,) which shares differ by more than 1 %, and by more than six digits lose."""
    return np.abs(shares - requested) > 1e-6 + 0.01 * requested


def _draw_problems(checked: CheckedFile) -> list[str]:
    """Domains that the trainer will not draw, or not to the end."""
    names, numbers = checked.plan.weights.names, checked.read.numbers
    never = is_undrawn(numbers, checked.plan.spec.draws)
    problems = [
        f"{name}: never drawn; its share is too small for blocks of {LEVANTER_BLOCK} sequences"
        for name, is_never in zip(names, never, strict=True)
        if is_never
    ]
    if checked.is_whole_run:
        problems += [
            f"{name}: its share is too small for any of the run's {int(checked.drawn.sum()):,} rows"
            for i, name in enumerate(names)
            if numbers[i] > 0 and checked.drawn[i] == 0 and not never[i]
        ]
    if checked.parsed.strategy == "all_exhausted_without_replacement":
        problems.append("the run ends with other shares: domains that run out are no longer drawn")
    return problems


def _epoch_problems(checked: CheckedFile) -> list[str]:
    """Domains that run out, or are repeated too often."""
    if checked.epochs is None or checked.budget is None:
        return []
    problems = []
    epochs, budget, names = checked.epochs, checked.budget, checked.plan.weights.names
    stops = checked.plan.spec.stops_at_end or checked.parsed.strategy == "first_exhausted"
    first = int(np.argmax(epochs))
    if stops and epochs[first] > 1:
        problems.append(
            f"the run stops after {format_tokens(budget / epochs[first])} tokens, when {names[first]} "
            f"runs out; the budget is {format_tokens(budget)}"
        )
    for name, times in zip(names, epochs.tolist(), strict=True):
        bound = (checked.parsed.repetition or {}).get(name)
        if bound is not None and times > bound * (1 + 1e-9):
            problems.append(
                f"{name} would be seen {times:.2f} times, but the file allows {bound:g}: the trainer stops "
                "with insufficient tokens"
            )
        elif not stops and times > MANY_EPOCHS:
            problems.append(f"{name} is seen {times:.1f} times; cap it with export's --max_epochs")
    return problems


def _stage_problems(checked: CheckedFile) -> list[str]:
    """What is wrong with the stages after the first, compared with those requested, if any are."""
    plan, stages, later = checked.plan, checked.parsed.stages, checked.plan.stages[1:]
    names, problems = plan.weights.names, []
    if later and [step for step, _ in stages] != [step for step, _ in later]:
        steps = ", ".join(str(step) for step, _ in stages) or "none"
        problems.append(f"a stage was requested at step {later[0].step}; the file has {steps}")
    for number, (step, numbers) in enumerate(stages):
        requested = np.zeros(len(names))
        if number < len(later):
            by_name = later[number].weights.by_name()
            requested = np.array([by_name[name] for name in names])
        read = shares_in_file(numbers, plan.spec, names, requested, plan.sources)
        faults = [*read.problems]
        if number < len(later):
            faults += _number_problems(read, ParsedFile(numbers), names, requested)
        problems += [f"from step {step} on: {problem}" for problem in faults]
    return problems
