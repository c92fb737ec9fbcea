"""The HTML report in a browser, at any width."""

import base64
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from report_pages import (
    CHROMIUM,
    REPORTS,
    WIDTHS,
)

from chameleon.report.page import render_report


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {kind: render_report(make()) for kind, make in REPORTS.items()}


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
