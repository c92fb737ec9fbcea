"""The HTML report: whatever is in it, it is well formed, harmless, the same each time, and readable."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chameleon.common.errors import InputError
from chameleon.confidence.pca import Plane
from chameleon.confidence.sensitivity import WeightPath
from chameleon.report.content import Report
from chameleon.report.page import render_report, write_report
from chameleon.report.style import MOVES, SERIES, THEME, contrast, levels, tint, written_on
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


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {kind: render_report(make()) for kind, make in REPORTS.items()}


@pytest.mark.parametrize("kind", REPORTS)
def test_a_page_is_well_formed_and_asks_for_nothing(kind: str, pages: Mapping[str, str]) -> None:
    page = Page(pages[kind])
    kinds = {tag for tag, _ in page.tags}
    assert pages[kind].startswith('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8" />')
    assert not kinds & {"script", "img", "iframe", "object", "embed", "form", "base", "foreignobject", "a b"}
    assert not any(key.startswith("on") or key in {"style", "src"} for _, each in page.tags for key in each)
    assert "//" not in re.sub(r'="data:image/png;base64,[A-Za-z0-9+/=]+"', "", pages[kind])
    assert all(re.fullmatch(r"#[\w-]+|data:,|data:image/png;base64,.+", to) for to in page.attributes("href"))
    assert not re.search(r"@import|url\((?!#)", pages[kind])
    identifiers = page.attributes("id")
    assert len(set(identifiers)) == len(identifiers)
    pointers = [
        *(each for key in ("aria-labelledby", "aria-describedby") for each in page.attributes(key)),
        *(to[1:] for to in page.attributes("href") if to.startswith("#")),
        *(each[5:-1] for each in page.attributes("clip-path")),
    ]
    assert set(pointers) <= set(identifiers)


@pytest.mark.parametrize("kind", REPORTS)
def test_nothing_but_the_page_s_own_style_is_let_in(kind: str, pages: Mapping[str, str]) -> None:
    style = re.search(r"<style>(.*?)</style>", pages[kind], re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policies = [each["content"] for tag, each in Page(pages[kind]).tags if "http-equiv" in each]
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    ]


@pytest.mark.parametrize("kind", REPORTS)
def test_pictures_have_titles_and_headings_are_in_order(kind: str, pages: Mapping[str, str]) -> None:
    page = Page(pages[kind])
    pictures = [each for tag, each in page.tags if tag == "svg" and "aria-hidden" not in each]
    # Weights, affinity and plane, then paths and others, then what changed; each wide and narrow.
    facts = REPORTS[kind]()
    assert len(pictures) == 2 * (3 + bool(facts.paths) + bool(facts.others) + (facts.before is not None))
    for each in pictures:
        assert each["role"] == "img"
        for part, says in (("title", "aria-labelledby"), ("desc", "aria-describedby")):
            found = re.search(rf'<{part} id="{each[says]}">(.*?)</{part}>', pages[kind], re.DOTALL)
            assert found is not None
            assert found[1].strip()
    steps = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert steps[0] == 1
    assert steps.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(steps))


@pytest.mark.parametrize("kind", REPORTS)
def test_all_domains_are_in_the_table_with_their_weights(kind: str, pages: Mapping[str, str]) -> None:
    report = REPORTS[kind]()
    body = re.search(r"<caption>Weights of all.*?<tbody>(.*?)</tbody>", pages[kind], re.DOTALL)
    assert body is not None
    rows = re.findall(r"<tr><th[^>]*><bdi>(.*?)</bdi></th><td>([\d.]+)", body[1], re.DOTALL)
    assert [html.unescape(name) for name, _ in rows] == [
        shown(report.weights.names[i]) for i in report.by_weight
    ]
    np.testing.assert_allclose(
        [float(weight) for _, weight in rows], np.sort(100 * report.weights.weights)[::-1], atol=0.0501
    )
    assert abs(sum(float(weight) for _, weight in rows) - 100) < 0.5


def test_facts_stand_in_a_column_only_where_they_are_known(pages: Mapping[str, str]) -> None:
    known = ["95 % interval", "natural", "in use now", "score", "windows", "windows in all", "tokens in all"]
    heads = {kind: Page(pages[kind]).texts_of("th") for kind in ("seven", "seven bare")}
    assert set(known) <= set(heads["seven"])
    assert not set(known) & set(heads["seven bare"])
    assert "9.88 billion" in Page(pages["seven"]).texts_of("td")
    for words in ("95 % interval", "natural share", "in use now", "uniform, 14.3"):
        assert (f">{words}" in pages["seven bare"]) == words.startswith("uniform")
        assert f">{words}" in pages["seven"]


def test_what_is_said_of_the_weights_is_so(pages: Mapping[str, str]) -> None:
    report, page = REPORTS["seven"](), Page(pages["seven"])
    text = " ".join("".join(each for _, each in page.texts).split())
    first, last = (report.weights.names[i] for i in (report.by_weight[0], report.by_weight[-1]))
    largest = 100 * report.weights.weights.max()
    assert f"{first} gets the largest share of the training tokens, {largest:.1f}\u00a0%" in text.replace(
        " %", "\u00a0%"
    )
    assert f"and {last} the smallest" in text
    assert "More windows are needed: the largest standard error of a weight is 0.4 points" in text
    assert "About so many windows would do: 2,048 of domain 6 and 1,024 of domain 0." in text
    assert "a second notice" in page.texts_of("li")
    assert [text for text in page.texts_of("dd") if text == "2.80 of 7"]
    assert "How sure these weights are is not known" in pages["seven bare"]
    assert "Notice" not in pages["seven bare"]


def test_parts_stand_where_there_is_something_to_say(pages: Mapping[str, str]) -> None:
    always = ["weights", "affinity", "plane", "neighbours", "settings"]
    found = {
        kind: [each["id"] for tag, each in Page(page).tags if tag == "section"]
        for kind, page in pages.items()
    }
    full = ["weights", "affinity", "plane", "paths", "others", "change", "neighbours", "examples", "settings"]
    for kind in ("two", "seven", "many", "hostile"):
        assert found[kind] == full
    for kind in ("two bare", "seven bare", "many linear"):
        assert found[kind] == always
    assert found["seven linear"] == [each for each in full if each != "change"]
    assert "change-picture" not in pages["seven linear"]
    assert "What moved because of whom" not in pages["seven linear"]
    for words in (">gone: gone<", ">domain 0: new<", ">without gone</th>", "What moved because of whom"):
        assert words in pages["seven"]


def test_a_change_may_be_known_without_its_causes_or_the_other_way_round() -> None:
    full = REPORTS["seven"]()
    facts = (full.weights, full.affinity, full.places, full.explained, full.spreads)
    only_before = render_report(Report(*facts, before=full.before))
    assert "change-picture" in only_before
    assert "What moved because of whom" not in only_before
    only_causes = render_report(Report(*facts, moved_by=full.moved_by))
    assert "change-picture" not in only_causes
    assert "What moved because of whom" in only_causes


def test_hostile_text_is_text(pages: Mapping[str, str], tmp_path: Path) -> None:
    page = Page(pages["hostile"])
    assert not UNFIT.search(pages["hostile"])
    assert "window.hacked" in pages["hostile"]
    known = {tag for kind in ("seven", "many") for tag, _ in Page(pages[kind]).tags}
    assert {tag for tag, _ in page.tags} <= known
    attributes = {key for kind in ("seven", "many") for _, each in Page(pages[kind]).tags for key in each}
    # Very long names are shortened, and in full where a pointer rests on them.
    assert {key for _, each in page.tags for key in each} <= attributes | {"title"}
    for kind in ("bdi", "li"):
        texts = {shown(text) for text in page.texts_of(kind)}
        assert {shown(each) for each in HOSTILE if each} <= texts
    path = tmp_path / "report.html"
    write_report(hostile_report(), path)
    assert path.read_bytes().decode("utf-8", "strict") == pages["hostile"]


def test_examples_are_shown_as_they_are(pages: Mapping[str, str]) -> None:
    page = Page(pages["hostile"])
    # A page's reader drops a line feed that stands first.
    windows = {text.removeprefix("\n") for text in page.texts_of("pre")}
    assert {HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[3], "nul\ufffdin", "\ufffd[31mred", "a\nb"} <= windows
    assert "&lt;script&gt;window.hacked=1&lt;/script&gt;</pre>" in pages["hostile"]
    windows = set(Page(pages["seven"]).texts_of("pre"))
    assert "A window of domain 3." in windows
    assert "x" * 600 + "…" in windows
    assert any(text.startswith("\n\nfirst\n\tline") for text in windows)
    assert "fourth" not in windows


@pytest.mark.parametrize("kind", ["two", "many", "hostile"])
def test_the_same_report_gives_the_same_bytes(kind: str, tmp_path: Path) -> None:
    for name in ("one.html", "other.html"):
        write_report(REPORTS[kind](), tmp_path / "new directory" / name)
    one, other = ((tmp_path / "new directory" / name).read_bytes() for name in ("one.html", "other.html"))
    assert one == other
    assert one.endswith(b"</html>\n")


def test_a_place_that_cannot_be_written_is_an_error_of_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path, tmp_path / "file" / "report.html", tmp_path / ("n" * 300)):
        with pytest.raises(InputError, match="cannot write"):
            write_report(REPORTS["two bare"](), path)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_numbers_that_do_not_fit_the_domains_are_refused() -> None:
    full = REPORTS["seven"]()
    with pytest.raises(InputError, match="7 domains need places of shape"):
        Report(full.weights, full.affinity, full.places.T, full.explained, full.spreads)
    with pytest.raises(InputError, match="affinity must be finite"):
        Report(full.weights, np.full((7, 7), np.nan), full.places, full.explained, full.spreads)


def test_one_domain_alone_has_a_page() -> None:
    weights = DomainWeights(("only",), np.ones(1), "chameleon")
    text = render_report(Report(weights, np.ones((1, 1)), np.zeros((1, 2)), np.zeros(2), np.zeros((1, 2, 2))))
    assert [each["id"] for tag, each in Page(text).tags if tag == "section"] == ["weights", "settings"]
    assert "</bdi> is the only domain." in text


@pytest.mark.parametrize(
    "facts",
    [
        {"affinity": np.zeros((3, 3))},
        {"places": np.array([[1e-12, 0], [0, 0], [0, 0]])},
        {"places": 1e6 * np.eye(3, 2), "spreads": np.tile(1e18 * np.eye(2), (3, 1, 1))},
        {"paths": [WeightPath("lambda_reg", np.ones(n), np.full((n, 3), 1 / 3)) for n in range(3)]},
        {"others": [(f"seed {i}", DomainWeights(("b", "z"), np.array([0.5, 0.5]), "m")) for i in range(30)]},
        {"before": DomainWeights(("y", "z"), np.array([0.5, 0.5]), "m"), "moved_by": [("with y", {})]},
    ],
    ids=lambda facts: ", ".join(facts),
)  # fmt: skip
def test_numbers_that_leave_nothing_to_draw_give_a_page(facts: Mapping[str, Any]) -> None:
    weights = DomainWeights(
        ("a", "b", "c"),
        np.array([0.0, 0.25, 0.75]),
        "m",
        domains={"a": {"score": None, "interval": None, "natural_share": None}},
        diagnostics={"largest_standard_error": 0.0, "enough_windows": True, "order": []},
    )
    none = {"affinity": np.ones((3, 3)), "places": np.zeros((3, 2)), "spreads": np.zeros((3, 2, 2))}
    page = Page(render_report(Report(weights, explained=np.zeros(2), **{**none, **facts})))
    assert "paths" not in page.attributes("id")


def test_colours_can_be_told_from_what_is_behind_them() -> None:
    for dark in (0, 1):
        for name in ("ink", "muted", "good", "care", "accent"):
            assert contrast(THEME[name][dark], THEME["page"][dark]) >= 4.5
            assert contrast(THEME[name][dark], THEME["soft"][dark]) >= 4.5
        for name in ("bar", "natural", "in-use", "rest"):
            assert contrast(THEME[name][dark], THEME["page"][dark]) >= 3
        for both in SERIES:
            assert contrast(both[dark], THEME["page"][dark]) >= 4.5
        for level in range(1, MOVES + 1):
            for name in ("more", "less"):
                assert contrast(THEME["ink"][dark], tint(name, level, dark=bool(dark))) >= 4.5
        for colour in levels(dark=bool(dark)):
            assert contrast(written_on(colour), colour) >= 4.5


# Written behind the page's content: what a reader's browser makes of it.
PROBE = """
<script>
addEventListener("load", () => {
  const boxes = [...document.querySelectorAll("svg[role=img]")]
    .filter(each => each.checkVisibility())
    .map(each => {
      const outer = each.getBoundingClientRect();
      const out = [...each.querySelectorAll("text")].filter(text => {
        const inner = text.getBoundingClientRect();
        return inner.left < outer.left - 3 || inner.right > outer.right + 3
          || inner.top < outer.top - 3 || inner.bottom > outer.bottom + 3;
      });
      return {id: each.id, width: outer.width, height: outer.height, out: out.map(text => text.textContent)};
    });
  const whole = document.documentElement;
  parent.postMessage({key: location.hash.slice(1), boxes, wide: whole.scrollWidth, room: whole.clientWidth,
    images: document.querySelectorAll("img").length, hacked: window.hacked ?? null}, "*");
});
</script>
"""
# Shows pages in frames of some widths, since a browser's own window is never narrower than 500, and keeps
# what their probes say.
WRAPPER = """<!DOCTYPE html><meta charset="utf-8"><style>iframe{border:0}</style>
<pre id="probe"></pre><script>
const said = {};
addEventListener("message", event => {
  said[event.data.key] = event.data;
  document.getElementById("probe").textContent = btoa(unescape(encodeURIComponent(JSON.stringify(said))));
});
</script>"""


def browse(directory: Path, pages: Mapping[str, str]) -> tuple[dict[str, dict[str, Any]], str]:
    """What probes found in each page at each width, and what the browser wrote of errors.

    Probed pages lack the policy that would stop hostile scripts as it stops the probe; beside them each page
    stands as it is, for errors that come of the policy.
    """
    assert CHROMIUM is not None
    frames = []
    for number, page in enumerate(pages.values()):
        open_page = re.sub(r"<meta http-equiv=[^>]*>", "", page).replace("</body>", f"{PROBE}</body>")
        (directory / f"{number}.html").write_text(open_page, encoding="utf-8")
        (directory / f"{number}-as-it-is.html").write_text(page, encoding="utf-8")
        frames.append(f'<iframe src="{number}-as-it-is.html" width="800" height="600"></iframe>')
        frames += [
            f'<iframe src="{number}.html#{number}-{width}" width="{width}" height="800"></iframe>'
            for width in WIDTHS
        ]
    wrapper = directory / "wrapper.html"
    wrapper.write_text(WRAPPER + "".join(frames), encoding="utf-8")
    run = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-dev-shm-usage",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={directory / 'profile'}", "--virtual-time-budget=60000",
            "--window-size=1400,1000", "--enable-logging=stderr", "--dump-dom", wrapper.as_uri(),
        ],
        capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="probe">([^<]+)</pre>', run.stdout)
    assert found is not None, run.stderr
    return json.loads(base64.b64decode(found[1])), run.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome")
def test_a_browser_shows_it_whole_at_any_width(pages: Mapping[str, str], tmp_path: Path) -> None:
    shown_pages = {kind: pages[kind] for kind in ("seven", "many", "hostile")}
    found, errors = browse(tmp_path, shown_pages)
    assert "CONSOLE" not in errors
    assert len(found) == len(shown_pages) * len(WIDTHS)
    for number in range(len(shown_pages)):
        for width in WIDTHS:
            page = found[f"{number}-{width}"]
            assert page["hacked"] is None
            assert page["images"] == 0
            assert page["wide"] <= page["room"] <= width
            assert len(page["boxes"]) == 6
            assert {box["id"].rsplit("-", 1)[1] for box in page["boxes"]} == {
                "wide" if width > 640 else "narrow"
            }
            for box in page["boxes"]:
                assert 50 < box["width"] <= page["room"]
                assert box["height"] > 50
                assert box["out"] == []


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome")
def test_the_browser_would_tell_of_what_is_wrong(tmp_path: Path) -> None:
    """Without this, the test before could pass because its probe sees nothing."""
    bad = (
        '<!DOCTYPE html><html><head><meta http-equiv="x" /></head><body>'
        '<img src="data:," onerror="window.hacked=2"><p style="width:3000px">wide</p>'
        '<svg role="img" id="a-wide" width="9" height="9"><text x="50" y="5">out of it</text></svg>'
        "<script>console.error('broken')</script></body></html>"
    )
    found, errors = browse(tmp_path, {"bad": bad})
    page = found["0-500"]
    assert "CONSOLE" in errors
    assert page["hacked"] == 2
    assert page["images"] == 1
    assert page["wide"] > page["room"]
    assert page["boxes"][0]["width"] == 9
    assert page["boxes"][0]["out"] == ["out of it"]
