"""Figures and the picture of the comparison, from the records of models.

A record is {"losses": {domain: nats}, "against_uniform": {domain: [nats, standard error over documents]}}.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.machine import Figure
from chameleon.common.figures import PALETTE, new_axes, new_figure, save_figure

BASELINE = "uniform"
Record = Mapping[str, Any]


def figures_of(weights: Mapping[str, Any], records: Mapping[str, Record]) -> Iterator[Figure]:
    """For each method: weights, cost, losses by domain, and differences from uniform over seeds.

    Args:
        weights: Contents of weights files by method.
        records: By method and seed, "law-1".
    """
    for method, content in weights.items():
        for domain, share in content["weights"].items():
            yield Figure(f"{method}: weight of {domain}", share)
        cost = content["diagnostics"].get("cost")
        if cost is not None:
            yield Figure(f"{method}: cost", cost["flops"], "FLOPs")
            yield Figure(f"{method}: tokens", cost["tokens"], "tokens")
            yield Figure(f"{method}: time", cost["seconds"], "s")
    for method, by_seed in by_method(records).items():
        yield from _losses(method, by_seed)
        yield from _differences(method, by_seed, records)


def by_method(records: Mapping[str, Record]) -> dict[str, dict[int, Record]]:
    """Records by method, and then by seed."""
    found: dict[str, dict[int, Record]] = {}
    for name, record in records.items():
        method, _, seed = name.rpartition("-")
        found.setdefault(method, {})[int(seed)] = record
    return found


def _losses(method: str, by_seed: Mapping[int, Record]) -> Iterator[Figure]:
    losses = [record["losses"] for record in by_seed.values()]
    for domain in losses[0]:
        values = [math.exp(each[domain]) for each in losses]
        yield Figure(f"{method}: perplexity on {domain}", mean(values))
    means = [mean(each.values()) for each in losses]
    yield Figure(f"{method}: models", len(losses))
    yield Figure(f"{method}: mean loss", mean(means), "nats")
    yield Figure(f"{method}: geometric mean perplexity", math.exp(mean(means)))
    average = mean(mean(map(math.exp, each.values())) for each in losses)
    yield Figure(f"{method}: average perplexity", average)


def _differences(
    method: str, by_seed: Mapping[int, Record], records: Mapping[str, Record]
) -> Iterator[Figure]:
    """Differences from uniform, between models of one seed, so that the seed's effect cancels."""
    pairs = [
        (record, records[f"{BASELINE}-{seed}"])
        for seed, record in by_seed.items()
        if f"{BASELINE}-{seed}" in records
    ]
    if method == BASELINE or not pairs:
        return
    for domain in pairs[0][0]["losses"]:
        values = [record["losses"][domain] - uniform["losses"][domain] for record, uniform in pairs]
        yield Figure(f"{method}: loss on {domain} less uniform's", mean(values), "nats")
    values = differences(method, by_seed, records)
    yield Figure(f"{method}: mean loss less uniform's", mean(values), "nats")
    if len(values) > 1:
        error = stdev(values) / math.sqrt(len(values))
        yield Figure(f"{method}: standard error over seeds", error, "nats")
    errors = [document_error(record) for record, _ in pairs]
    known = [error for error in errors if error is not None]
    if known:
        yield Figure(f"{method}: standard error over documents", mean(known), "nats")


def differences(method: str, by_seed: Mapping[int, Record], records: Mapping[str, Record]) -> list[float]:
    """Mean loss less that of the uniform model of the same seed, for each seed that has one."""
    return [
        mean(record["losses"].values()) - mean(records[f"{BASELINE}-{seed}"]["losses"].values())
        for seed, record in by_seed.items()
        if f"{BASELINE}-{seed}" in records
    ]


def document_error(record: Record) -> float | None:
    """Standard error over documents of a model's mean loss less uniform's."""
    errors = [error for _, error in record.get("against_uniform", {}).values()]
    if not errors or None in errors:
        return None
    return math.hypot(*errors) / len(errors)


def draw(records: Mapping[str, Record], path: Path) -> None:
    """Write a picture: mean loss less uniform's for each method, a point for each seed."""
    points = {
        method: values
        for method, by_seed in by_method(records).items()
        if method != BASELINE and (values := differences(method, by_seed, records))
    }
    order = sorted(points, key=lambda method: mean(points[method]))
    figure = new_figure(7, 1.2 + 0.4 * len(order))
    axes = new_axes(figure)
    for row, method in enumerate(order):
        axes.plot(points[method], [row] * len(points[method]), "o", color=PALETTE[0], alpha=0.5)
        axes.plot(mean(points[method]), row, "|", color=PALETTE[1], markersize=18, markeredgewidth=2)
    axes.axvline(0, color="#555555", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(order)), order)
    axes.invert_yaxis()
    axes.set_xlabel(
        "mean test loss less that of uniform weights, nats per token (points: seeds, bars: means)"
    )
    axes.grid(axis="x", alpha=0.3)
    save_figure(figure, path, flag=None)
