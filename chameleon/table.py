"""Weights as a table that a person reads at a glance."""

from chameleon.domain_weights import DomainWeights

_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"


def render_table(weights: DomainWeights, written_to: str, *, unicode: bool = True) -> str:
    """Domains with their scores and weights, uniform beside them, and what the numbers rest on.

    Args:
        weights: What to show; heaviest domain first.
        written_to: Where the weights file went.
        unicode: Draw bars with block characters rather than with plain ones.
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
    lines = [
        f"Share of tokens of each domain, to {weights.mode} on {weights.settings.get('dataset', '?')}",
        "",
        f"{'domain':<{width}}  windows   score  {titles}uniform  weight  {'':{_BAR}}  against uniform",
    ]
    for i in order:
        name = weights.names[i]
        facts = weights.domains[name]
        bar = _bar(float(weights.weights[i]) / largest, uniform / largest, unicode=unicode)
        lines.append(
            f"{shown_name(name):<{width}}  {facts.get('windows', '-'):>7}  {facts['score']:6.4f}  "
            f"{''.join(_share(facts.get(fact)) for _, fact in beside)}{uniform:7.4f}"
            f"  {weights.weights[i]:6.4f}  {bar}  {float(weights.weights[i]) / uniform:5.2f} x"
        )
    return "\n".join([*lines, "", *_footer(weights, written_to)])


def _footer(weights: DomainWeights, written_to: str) -> list[str]:
    used = weights.settings
    sigma = used.get("rbf_sigma")
    kernel = f"{used['kernel']} kernel"
    if sigma is not None:
        kernel += f", sigma {sigma:.4g} ({used['rbf_sigma_from']})"
    effective = weights.diagnostics["effective_dimension"]
    return [
        f"effective dimension  {effective:.2f} of {len(weights.names)} domains",
        f"kernel and ridge     {kernel}, lambda {used['lambda_reg']:.4g} (k lambda = {used['ridge']:.4g})",
        f"temperature          {used['temperature_used']:.4g}, recipe {used['recipe']}",
        f"weights file         {written_to}",
    ]


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
