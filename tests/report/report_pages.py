"""Reports of all kinds, and a parser of their pages."""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np

from chameleon.confidence.pca import Plane
from chameleon.confidence.sensitivity import WeightPath
from chameleon.report.content import Report
from chameleon.weights.domain_weights import DomainWeights

HOSTILE = (
    "<script>window.hacked=1</script>", '"><img src=x onerror=window.hacked=2>', "]]><!--", "$\\frac{a}{b}$",
    "nul\x00in", "\x1b[31mred", "\ud800", "\u202etxt.exe", "long " * 40, "x" * 200, "维基百科中文语料",
    "مرحبا", "'onmouseover='window.hacked=3", "</style></svg></pre>", "a\r\nb", "", "javascript:alert(1)",
)  # fmt: skip
# What may not be in a page, whether it is text or not.
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
# Elements that HTML closes by itself.
VOID = {"meta", "link", "br"}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (390, 500, 1280)


def names_of(k: int) -> tuple[str, ...]:
    return tuple(f"domain {i}" for i in range(k))


def affinity_of(names: Sequence[str], kernel: str, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    means = generator.normal(size=(len(names), 6)) + np.repeat(generator.normal(size=(1, 6)), len(names), 0)
    if kernel == "linear":
        return np.asarray(37 * means @ means.T)
    squared = np.square(means[:, None] - means).sum(axis=2)
    return np.asarray(np.exp(-squared / np.median(squared)))


def shares_of(k: int, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    return np.asarray(generator.dirichlet(np.full(k, 4.0)))


def facts_of(share: float, k: int, generator: np.random.Generator) -> dict[str, Any]:
    error = 0.05 * share
    return {
        "score": float(generator.uniform(0.2, 0.9)),
        "windows": 256,
        "tokens": 262_144,
        "windows_available": 100_000,
        "corpus_tokens": 9_876_543_210,
        "natural_share": float(generator.uniform(0, 2 / k)),
        "weight_in_use": float(generator.uniform(0, 2 / k)),
        "standard_error": error,
        "interval": [max(share - 2 * error, 0.0), share + 2 * error],
    }


def weights_of(names: Sequence[str], generator: np.random.Generator, *, is_full: bool) -> DomainWeights:
    shares, k = shares_of(len(names), generator), len(names)
    order = sorted(range(k), key=lambda i: -shares[i])
    return DomainWeights(
        tuple(names),
        shares,
        "chameleon",
        "pretrain",
        domains={name: facts_of(float(shares[i]), k, generator) for i, name in enumerate(names)}
        if is_full
        else {},
        diagnostics={
            "effective_dimension": 0.4 * k,
            "largest_standard_error": 0.004,
            "enough_windows": False,
            "windows_needed": {names[0]: 1024, names[-1]: 2048},
            "order": [
                {"above": names[i], "below": names[j], "probability": float(generator.uniform(0.5, 1))}
                for i, j in pairwise(order)
            ],
        }
        if is_full
        else {},
        settings={"dataset": "/data/corpus", "lambda_reg": 10.0, "temperature": 1.0, "rbf_sigma": 3.25}
        if is_full
        else {},
        provenance={"versions": {"chameleon": "1.2.3"}, "proxy": {"digest": "0f" * 32}} if is_full else {},
        notices=("a first notice", "a second notice") if is_full else (),
    )


def path_of(setting: str, middle: float, weights: DomainWeights, pull: float) -> WeightPath:
    factors = np.array([2.0 ** (step / 2) for step in range(-8, 9)])
    raised = weights.weights ** np.clip(1 + pull * np.log(factors), 0.1, 3)[:, None]
    return WeightPath(setting, middle * factors, raised / raised.sum(axis=1, keepdims=True))


def report_of(
    names: Sequence[str],
    kernel: str = "rbf",
    *,
    is_full: bool = True,
    has_changed: bool = False,
    seed: int = 1,
) -> Report:
    generator = np.random.default_rng(seed)
    weights, affinity = weights_of(names, generator, is_full=is_full), affinity_of(names, kernel, generator)
    plane, k = Plane.of(affinity), len(names)
    factors = 0.02 * np.abs(plane.places).max() * generator.normal(size=(k, 2, 2))
    before = (
        DomainWeights(("gone", *names[1:]), shares_of(k, generator), "chameleon") if has_changed else None
    )
    moves = dict(zip(names[1:], generator.normal(size=k - 1) / 50, strict=True))
    return Report(
        weights,
        affinity,
        plane.places,
        plane.explained,
        factors @ factors.transpose(0, 2, 1) if is_full else np.zeros((k, 2, 2)),
        paths=[
            path_of("lambda_reg", 10.0, weights, 0.2),
            path_of("rbf_sigma", 3.25, weights, -0.3),
            path_of("temperature", 1.0, weights, 0.3),
        ]
        if is_full
        else (),
        examples={
            name: [f"A window of {name}.", "\nfirst\n\tline" * 90, "x" * 900, "fourth"] for name in names
        }
        if is_full
        else {},
        others=[
            (label, DomainWeights(tuple(names), shares_of(k, generator), "chameleon"))
            for label in ("block 2", "block 8", "seed 1")
        ]
        if is_full
        else (),
        before=before,
        moved_by=[("without gone", {**moves, names[0]: 0.0}), ("with " + names[0], moves)]
        if has_changed
        else (),
    )


def hostile_report() -> Report:
    """Hostile text wherever text can stand."""
    report = report_of(HOSTILE, has_changed=True)
    weights = report.weights
    made = DomainWeights(
        HOSTILE,
        weights.weights,
        HOSTILE[0],
        HOSTILE[1],
        domains=weights.domains,
        diagnostics=weights.diagnostics,
        settings={**weights.settings, "dataset": HOSTILE[1], **{each: each for each in HOSTILE}},
        provenance={"versions": {"chameleon": HOSTILE[0]}, HOSTILE[1]: {HOSTILE[0]: [*HOSTILE]}},
        notices=HOSTILE,
    )
    return Report(
        made,
        report.affinity,
        report.places,
        report.explained,
        report.spreads,
        paths=report.paths,
        examples={name: HOSTILE[at : at + 3] for at, name in enumerate(HOSTILE)},
        others=[(HOSTILE[at], other) for at, (_, other) in enumerate(report.others)],
        before=report.before,
        moved_by=[(HOSTILE[at], moves) for at, (_, moves) in enumerate(report.moved_by)],
    )


REPORTS: Mapping[str, Callable[[], Report]] = {
    "two": lambda: report_of(names_of(2), has_changed=True),
    "two bare": lambda: report_of(names_of(2), "linear", is_full=False),
    "seven": lambda: report_of(names_of(7), has_changed=True),
    "seven linear": lambda: report_of(names_of(7), "linear"),
    "seven bare": lambda: report_of(names_of(7), is_full=False),
    "many": lambda: report_of(names_of(300), has_changed=True),
    "many linear": lambda: report_of(names_of(300), "linear", is_full=False),
    "hostile": hostile_report,
}


class Page(HTMLParser):
    """A page taken apart; one whose tags do not match is refused."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.pictures: list[dict[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in VOID
        assert len(dict(attrs)) == len(attrs), "an attribute stands twice"
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        self.texts.append((tag, ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID or "svg" in self.open
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.append((self.open[-1], data))

    def texts_of(self, tag: str) -> list[str]:
        return [text for each, text in self.texts if each == tag and text]

    def attributes(self, name: str) -> list[str]:
        return [each[name] or "" for _, each in self.tags if name in each]


def shown(name: str) -> str:
    """A name as a page may show it."""
    return " ".join(UNFIT.sub("\ufffd", name.replace("\r\n", " ")).split()) or "(no name)"
