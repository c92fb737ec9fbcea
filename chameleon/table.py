"""Weights as a table that a person reads at a glance."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from chameleon.domain_weights import DomainWeights

_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
# An order that is less probable than this is called unsure.
_SURE = 0.95
_UNSURE_SHOWN = 3


def render_table(
    weights: DomainWeights,
    written_to: str,
    *,
    unicode: bool = True,
    report: Path | None = None,
) -> str:
    """Domains with their scores and weights, uniform beside them, and what the numbers rest on.

    Args:
        weights: What to show; heaviest domain first.
        written_to: Where the weights file went.
        unicode: Draw bars with block characters rather than with plain ones.
        report: Where a page about them went, if one did.
    """
    k = len(weights.names)
    uniform = 1.0 / k
    order = sorted(range(k), key=lambda i: (-weights.weights[i], weights.names[i]))
    width = max(6, *(len(shown_name(name)) for name in weights.names))
    largest = max(float(weights.weights.max()), uniform)
    beside = [
        (title, fact)
        for title, fact in (("natural", "natural_share"), (" in use", "weight_in_use"))
        if any(fact in weights.domains[name] for name in weights.names)
    ]
    titles = "".join(f"{title}  " for title, _ in beside)
    has_errors = any("standard_error" in weights.domains[name] for name in weights.names)
    errors = f"{'+- s.e.':>7}  " if has_errors else ""
    head = f"{'domain':<{width}}  windows   score  {titles}uniform  weight  {errors}{'':{_BAR}}"
    lines = [
        f"Share of tokens of each domain, to {weights.mode} on {weights.settings.get('dataset', '?')}",
        "",
        f"{head}  against uniform",
    ]
    for i in order:
        name = weights.names[i]
        facts = weights.domains[name]
        bar = _bar(float(weights.weights[i]) / largest, uniform / largest, unicode=unicode)
        lines.append(
            f"{shown_name(name):<{width}}  {facts.get('windows', '-'):>7}  {facts['score']:6.4f}  "
            f"{''.join(_share(facts.get(fact)) for _, fact in beside)}{uniform:7.4f}"
            f"  {weights.weights[i]:6.4f}  {_share(facts.get('standard_error')) if has_errors else ''}"
            f"{bar}  {float(weights.weights[i]) / uniform:5.2f} x"
        )
    lines += ["", *_footer(weights, written_to)]
    if report is not None:
        lines.append(f"report               {report}")
    return "\n".join(lines)


def render_change(
    weights: DomainWeights, before: DomainWeights, moved_by: Sequence[tuple[str, Mapping[str, float]]]
) -> str:
    """Weights before and after domains came or went, and what moved because of whom.

    Args:
        weights: After.
        before: Before.
        moved_by: For each of those domains, in words, what it alone moves each weight by.
    """
    was, now = before.by_name(), weights.by_name()
    everybody = sorted(dict.fromkeys([*now, *was]), key=lambda name: -now.get(name, -1.0))
    width = max(6, *(len(shown_name(name)) for name in everybody))
    columns = [(max(8, len(shown_name(label, 20))), shown_name(label, 20), by) for label, by in moved_by]
    heads = "".join(f"  {label:>{size}}" for size, label, _ in columns)
    lines = [f"{'domain':<{width}}  before   after     moved{heads}"]
    for name in everybody:
        if name in was and name in now:
            moved = f"{now[name] - was[name]:+.4f}"
        else:
            moved = "gone" if name in was else "new"
        cells = "".join(
            f"  {format(by[name], '+.4f') if name in by else '-':>{size}}" for size, _, by in columns
        )
        shares = "  ".join(f"{_share(each.get(name)).strip():>6}" for each in (was, now))
        lines.append(f"{shown_name(name):<{width}}  {shares}  {moved:>8}{cells}")
    return "\n".join(lines)


def _footer(weights: DomainWeights, written_to: str) -> list[str]:
    used = weights.settings
    sigma = used.get("rbf_sigma")
    kernel = f"{used['kernel']} kernel"
    if sigma is not None:
        kernel += f", sigma {sigma:.4g} ({used['rbf_sigma_from']})"
    effective = weights.diagnostics["effective_dimension"]
    return [
        *_certainty(weights),
        f"effective dimension  {effective:.2f} of {len(weights.names)} domains",
        f"kernel and ridge     {kernel}, lambda {used['lambda_reg']:.4g} (k lambda = {used['ridge']:.4g})",
        f"temperature          {used['temperature_used']:.4g}, recipe {used['recipe']}",
        f"weights file         {written_to}",
    ]


def _certainty(weights: DomainWeights) -> list[str]:
    """How sure the weights are, and what that took."""
    largest = weights.diagnostics.get("largest_standard_error")
    if largest is None:
        return []
    windows = [weights.domains[name]["windows"] for name in weights.names]
    tokens = sum(weights.domains[name].get("tokens", 0) for name in weights.names)
    counted = f" of {tokens:,} tokens" if tokens else ""
    enough = "enough" if weights.diagnostics["enough_windows"] else "not enough"
    target = weights.settings.get("target_se")
    return [
        f"windows looked at    {sum(windows):,}{counted}, {min(windows)} to {max(windows)} a domain",
        f"standard errors      up to {largest:.2g}"
        + (f": {enough} for a target of {target:g}" if target is not None else ""),
        f"order                {_order(weights)}",
    ]


def _order(weights: DomainWeights) -> str:
    """How sure the order of neighbours is."""
    by_weight = sorted(range(len(weights.names)), key=lambda i: (-weights.weights[i], i))
    below = {weights.names[one]: weights.names[other] for one, other in pairwise(by_weight)}
    neighbours = [each for each in weights.diagnostics["order"] if below.get(each["above"]) == each["below"]]
    unsure = sorted(
        (each for each in neighbours if each["probability"] < _SURE), key=lambda each: each["probability"]
    )
    if not unsure:
        return f"sure: neighbours by at least {min(each['probability'] for each in neighbours):.0%}"
    listed = ", ".join(
        f"{shown_name(each['above'])} over {shown_name(each['below'])} {each['probability']:.0%}"
        for each in unsure[:_UNSURE_SHOWN]
    )
    rest = f" and {len(unsure) - _UNSURE_SHOWN} more" if len(unsure) > _UNSURE_SHOWN else ""
    return f"unsure for {listed}{rest}; others sure"


def _share(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.4f'):>7}  "


def _bar(share: float, mark: float, *, unicode: bool) -> str:
    """A bar of length `share` of the whole, with a mark where uniform would end."""
    if unicode:
        eighths = round(share * _BAR * 8)
        cells = list(("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(_BAR))
        marks = "│"
    else:
        cells = list(("#" * round(share * _BAR)).ljust(_BAR))
        marks = "|"
    at = min(round(mark * _BAR), _BAR) - 1
    if cells[at] == " ":
        cells[at] = marks
    return "".join(cells)


def shown_name(name: str, most: int = 40) -> str:
    """A domain's name on one line of the terminal, whatever is in it."""
    printable = "".join(each if each.isprintable() else "?" for each in name)
    return printable if len(printable) <= most else f"{printable[: most - 3]}..."
