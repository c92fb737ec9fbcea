"""The HTML report: whatever is in it, it is well formed, harmless, the same each time, and readable."""

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_pages import (
    HOSTILE,
    REPORTS,
    UNFIT,
    Page,
    hostile_report,
    shown,
)

from chameleon.common.errors import InputError
from chameleon.confidence.sensitivity import WeightPath
from chameleon.report.content import Report
from chameleon.report.page import render_report, write_report
from chameleon.report.style import MOVES, SERIES, THEME, contrast, levels, tint, written_on
from chameleon.weights.domain_weights import DomainWeights


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
    assert "Estimated windows needed: 2,048 of domain 6 and 1,024 of domain 0." in text
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
    assert "What each domain moved" not in pages["seven linear"]
    for words in (">gone: removed<", ">domain 0: new<", ">without gone</th>", "What each domain moved"):
        assert words in pages["seven"]


def test_a_change_may_be_known_without_its_causes_or_the_other_way_round() -> None:
    full = REPORTS["seven"]()
    facts = (full.weights, full.affinity, full.places, full.explained, full.spreads)
    only_before = render_report(Report(*facts, before=full.before))
    assert "change-picture" in only_before
    assert "What each domain moved" not in only_before
    only_causes = render_report(Report(*facts, moved_by=full.moved_by))
    assert "change-picture" not in only_causes
    assert "What each domain moved" in only_causes


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
