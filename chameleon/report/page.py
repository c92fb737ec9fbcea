"""The report as one HTML file: no scripts, and nothing loaded from elsewhere."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from chameleon.common import files
from chameleon.report.content import Report
from chameleon.report.heat_map import heat_images
from chameleon.report.markup import Markup, tag
from chameleon.report.sections import Section, sections
from chameleon.report.style import style_sheet
from chameleon.report.summary import facts, heading, summary, verdict


def write_report(report: Report, path: Path) -> None:
    """Write the page, whole or not at all; the same report gives the same bytes.

    Raises:
        InputError: The file cannot be written.
    """
    files.write_atomically(path, render_report(report).encode())


def render_report(report: Report) -> str:
    """The page's text."""
    title, parts = heading(report.weights), list(sections(report))
    body = tag(
        "body",
        heat_images(report),
        tag("main", _top(report, title, parts), *(_section(each) for each in parts), _foot(report)),
    )
    return f"<!DOCTYPE html>\n{tag('html', _head(title), body, lang='en')}\n"


def _head(title: str) -> Markup:
    style = style_sheet()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # Browsers refuse everything but this style and images within the page.
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Markup(style)),
    )


def _top(report: Report, title: str, parts: Sequence[Section]) -> Markup:
    weights = report.weights
    numbers = [tag("div", tag("dt", each), tag("dd", value)) for each, value in facts(report)]
    notices = [
        tag("h2", "Notices" if len(weights.notices) > 1 else "Notice"),
        tag("ul", *(tag("li", notice) for notice in weights.notices)),
    ]
    is_enough = weights.diagnostics.get("enough_windows")
    links = [tag("li", tag("a", each.title, href=f"#{each.key}")) for each in parts]
    return tag(
        "header",
        tag("p", weights.method, class_="kind"),
        tag("h1", title),
        tag("p", summary(report), class_="lead"),
        tag("div", verdict(weights), class_="verdict" if is_enough else "verdict care"),
        tag("div", *notices, class_="notices") if weights.notices else Markup(),
        tag("dl", *numbers, class_="facts"),
        tag("nav", tag("ul", *links), aria_label="Sections of this page"),
    )


def _section(section: Section) -> Markup:
    return tag(
        "section",
        tag("h2", section.title, id=f"{section.key}-heading"),
        section.content,
        id=section.key,
        aria_labelledby=f"{section.key}-heading",
    )


def _foot(report: Report) -> Markup:
    versions = report.weights.provenance.get("versions")
    number = versions.get("chameleon") if isinstance(versions, dict) else None
    words = f"chameleon{f' {number}' if number else ''}. This page loads nothing from elsewhere."
    return tag("footer", tag("p", words))
