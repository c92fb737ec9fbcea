"""What the law says in words and numbers: for the weights file, the table and the notes.

Shapes: m losses, k domains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chameleon.common.arrays import Array
from chameleon.common.tables import listed
from chameleon.export.budget import format_tokens
from chameleon.methods.law.answer import Answer, Fitted
from chameleon.methods.law.runs import FEW_DOCUMENTS, LawRuns


@dataclass(frozen=True, eq=False)
class OwnRun:
    """A run on a law's own answer, as a test of the law.

    Attributes:
        predicted: Gain over uniform that the law expected, in nats.
        interval: 95 % interval of what was to be measured.
        measured: Gain over uniform by the losses of the two runs.
    """

    predicted: float
    interval: tuple[float, float]
    measured: float

    @property
    def is_within(self) -> bool:
        """Whether the law predicted what was measured."""
        return self.interval[0] <= self.measured <= self.interval[1]

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "predicted_gain": self.predicted,
            "interval": list(self.interval),
            "measured_gain": self.measured,
            "within_interval": self.is_within,
        }


@dataclass(frozen=True, eq=False)
class Description:
    """What goes into the weights file: diagnostics, facts by domain, and notices."""

    diagnostics: Mapping[str, Any]
    facts: Mapping[str, Mapping[str, Any]]
    notices: tuple[str, ...]


def describe(
    runs: LawRuns,
    fitted: Fitted,
    shorter: Sequence[Fitted],
    carried: Answer | None,
    own: OwnRun | None,
    budget: float | None,
) -> Description:
    """Describe what a law says.

    Args:
        runs: The runs of all lengths.
        fitted: The law of the longest.
        shorter: Those of the shorter ones.
        carried: What it says at the budget, if it was carried there.
        own: The run on its own answer, if there was one.
        budget: Tokens of the training run that the weights are for, if known.
    """
    answer = carried or fitted.answer
    constants, length = fitted.law.most_probable(), fitted.length
    diagnostics: dict[str, Any] = {
        "verdict": verdict(fitted, carried, own, budget),
        "gain": answer.gain,
        "gain_standard_error": answer.gain_error,
        "gain_interval": list(answer.interval),
        "slopes": _by_name(length.runs.loss_names, fitted.law.mean_slopes),
        "transfer": {"discount": constants.discount, "power": constants.power, "common": constants.common},
        "noise": fitted.law.noise,
        "runs": len(length.runs),
        "runs_diverged": list(length.runs.diverged),
    }
    if own is not None:
        diagnostics["own_run"] = own.to_dict()
    if shorter:
        diagnostics["lengths"] = [
            {
                "tokens": each.length.tokens,
                "weights": _by_name(runs.names, each.answer.weights),
                "gain": each.answer.gain,
                "gain_standard_error": each.answer.gain_error,
            }
            for each in (*shorter, fitted)
        ]
    facts: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(runs.names):
        error = float(answer.standard_errors[i])
        if answer.is_certain:
            facts[name] = {"standard_error": error}
        else:
            facts[name] = {"law_weight": float(answer.weights[i]), "law_standard_error": error}
    return Description(diagnostics, facts, tuple(_notices(runs, fitted, own, budget)))


def verdict(fitted: Fitted, carried: Answer | None, own: OwnRun | None, budget: float | None) -> str:
    """Whether to use the weights, in a sentence."""
    answer = carried or fitted.answer
    gain = f"{answer.gain:.4f} +- {answer.gain_error:.4f} nats"
    tokens = fitted.length.tokens
    of_runs = "" if tokens is None else f" in runs of {format_tokens(tokens)} tokens"
    if carried is not None and budget is not None:
        at = format_tokens(budget)
        if carried.is_certain:
            return f"use these weights: at {at} tokens a gain of {gain} over uniform is expected"
        return f"stay with uniform weights: it is unknown what is better at {at} tokens (gain {gain})"
    if answer.is_certain:
        return f"use these weights: a gain of {gain} over uniform is expected{of_runs}"
    if answer.is_refuted and own is not None:
        return (
            "stay with uniform weights: a run on the law's own mixture was not better (gain "
            f"{own.measured:.4f} nats, predicted {own.predicted:.4f})"
        )
    return f"stay with uniform weights: no mixture is better by more than two standard errors (gain {gain})"


def _notices(runs: LawRuns, fitted: Fitted, own: OwnRun | None, budget: float | None) -> list[str]:
    notices = []
    tokens = fitted.length.tokens
    counts = fitted.length.document_counts
    if few := [f"{name} ({count})" for name, count in counts.items() if count < FEW_DOCUMENTS]:
        notices.append(
            f"few held-out documents: {listed(few, 10)}; their losses are uncertain and count less. Hold out "
            "more with --heldout_share"
        )
    if own is not None and not own.is_within:
        low, high = own.interval
        notices.append(
            f"the law is wrong about its own answer: it predicted a gain of {own.predicted:.4f} nats "
            f"({low:.4f} to {high:.4f}) and {own.measured:.4f} was measured; use more runs (--num_runs) "
            "before you rely on it"
        )
    if budget is not None and tokens is not None and len(runs.lengths) == 1 and budget > 2 * tokens:
        notices.append(
            f"runs of {format_tokens(tokens)} tokens do not tell how weights change up to "
            f"{format_tokens(budget)}; add runs of other lengths, such as --lengths 0.25,1"
        )
    return notices


def _by_name(names: Sequence[str], values: Array) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))
