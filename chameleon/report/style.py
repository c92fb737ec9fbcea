"""The style of the page: light and dark, wide and narrow, on a screen and on paper."""

from collections.abc import Mapping, Sequence

# Levels of a heat map.
COLOURS = 16

# Names of the page's style, each light and dark. Text (ink, muted, good, care) has a contrast of 4.5 and more
# on page and soft, signs have one of 3.
THEME: Mapping[str, tuple[str, str]] = {
    "page": ("#ffffff", "#14191f"),
    "soft": ("#f4f7f8", "#1c232b"),
    "ink": ("#17212b", "#e6ecf1"),
    "muted": ("#55626f", "#a3b0bc"),
    "line": ("#d9e0e6", "#323c47"),
    "bar": ("#4b9ab5", "#3d8fae"),
    "accent": ("#1b6a86", "#6cc3e0"),
    "natural": ("#a8600a", "#f0b357"),
    "in-use": ("#7d4fa8", "#c3a3ec"),
    "good": ("#1f7a4d", "#6fd3a0"),
    "care": ("#96590a", "#f0b357"),
    "more": ("#1b6a86", "#6cc3e0"),
    "less": ("#b8423f", "#ff9a8f"),
    "rest": ("#818d99", "#74818e"),
}

# Of single domains, blocks and seeds; told apart by those who see colours differently too, with labels.
SERIES: Sequence[tuple[str, str]] = (
    ("#1b6a86", "#6cc3e0"),
    ("#c93c52", "#ff8896"),
    ("#9c6600", "#ecb94f"),
    ("#367f53", "#7fd0a0"),
    ("#7d57a8", "#bd9fea"),
    ("#bf4a92", "#f598cb"),
    ("#62707e", "#a9b8c6"),
    ("#777a00", "#c9ca58"),
)

# Strengths of the tint behind numbers that say how far a weight moves.
MOVES = 5

# From nothing in common to the same.
_LIGHT_STOPS = ("#f3f7f8", "#a9d3de", "#4796b0", "#17576f", "#082b3a")
_DARK_STOPS = ("#1c242c", "#1d4d61", "#2f86a5", "#7cc8de", "#e9f8fc")


def levels(*, dark: bool) -> list[str]:
    """The colours of a heat map from its lowest to its highest level."""
    stops = [_channels(stop) for stop in (_DARK_STOPS if dark else _LIGHT_STOPS)]
    found = []
    for level in range(COLOURS):
        place = level / (COLOURS - 1) * (len(stops) - 1)
        at = min(int(place), len(stops) - 2)
        found.append(_mixed(stops[at], stops[at + 1], place - at))
    return found


def written_on(colour: str) -> str:
    """Black or white, whichever is easier to read on a colour: by 4.5 and more."""
    return max(("#000000", "#ffffff"), key=lambda text: contrast(text, colour))


def tint(name: str, level: int, *, dark: bool) -> str:
    """A colour of the theme mixed into the page's, by a tenth of it a level."""
    one, other = (_channels(THEME[each][int(dark)]) for each in ("page", name))
    return _mixed(one, other, level / 10)


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, from 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    linear = [
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in _channels(colour)
    ]
    return sum(part * channel for part, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _channels(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def _mixed(one: Sequence[float], other: Sequence[float], part: float) -> str:
    channels = [round(255 * (a + (b - a) * part)) for a, b in zip(one, other, strict=True)]
    return "#" + "".join(f"{channel:02x}" for channel in channels)


_PAGE = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",Arial,sans-serif}
main{max-width:868px;margin:0 auto;padding:40px 24px 72px}
h1,h2,h3{line-height:1.2;letter-spacing:-.01em;overflow-wrap:anywhere;text-wrap:balance}
h1{font-size:2.1rem;margin:.1em 0 .5em}
h2{font-size:1.4rem;margin:0 0 .4em}
h3{font-size:1.05rem;margin:1.6em 0 .4em}
p{margin:.5em 0 1em;max-width:68ch;overflow-wrap:anywhere}
section{margin-top:44px;padding-top:28px;border-top:1px solid var(--line)}
.kind{color:var(--accent);font-weight:600;font-size:.85rem;letter-spacing:.06em;text-transform:uppercase;margin:0}
.lead{font-size:1.15rem;line-height:1.5}
.muted,.caption{color:var(--muted)}
.caption{font-size:.9rem}
.verdict,.notices{border-left:4px solid var(--good);background:var(--soft);border-radius:0 8px 8px 0;
padding:12px 18px;margin:1.2em 0;max-width:none;overflow-wrap:anywhere}
.verdict.care,.notices{border-left-color:var(--care)}
.verdict p{margin:.2em 0;max-width:none}
.verdict strong{color:var(--good)}
.verdict.care strong,.notices h2{color:var(--care)}
.notices h2{font-size:1rem;margin:0 0 .3em}
.notices ul{margin:0;padding-left:1.2em}
.notices li{margin:.3em 0}
.facts{display:flex;flex-wrap:wrap;gap:10px;margin:1.4em 0}
.facts div{background:var(--soft);border-radius:8px;padding:10px 14px;flex:1 1 136px;min-width:0}
.facts dt{color:var(--muted);font-size:.82rem;line-height:1.3}
.facts dd{margin:2px 0 0;font-size:1.06rem;font-weight:600;line-height:1.3;overflow-wrap:anywhere}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:6px 18px;padding:0;margin:1.2em 0 0;font-size:.95rem}
a{color:var(--accent)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
figure{margin:1.2em 0 1.4em}
figure svg{display:block;max-width:100%;height:auto}
.narrow{display:none}
.scroll{overflow:auto;max-height:34rem;border:1px solid var(--line);border-radius:8px;margin:1em 0}
.scroll.whole{max-height:none}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums;line-height:1.4}
caption{text-align:left;color:var(--muted);padding:8px 12px;font-size:.85rem}
th,td{padding:6px;text-align:right;white-space:nowrap;border-top:1px solid var(--line)}
thead th{white-space:normal;position:sticky;top:0;background:var(--soft);border-top:0;font-weight:600;
vertical-align:bottom;z-index:1}
th[scope=row]{text-align:left;font-weight:500;position:sticky;left:0;background:var(--page)}
th.lengthy{white-space:normal;overflow-wrap:anywhere;min-width:11rem;max-width:16rem}
thead th:first-child{text-align:left;left:0;z-index:2}
.words td,.words th{text-align:left;white-space:normal;overflow-wrap:anywhere}
.words th[scope=row]{width:34%;color:var(--muted)}
.near td{white-space:normal;overflow-wrap:anywhere;min-width:6.5rem;text-align:left}
.near thead th{text-align:left}
.near span{color:var(--muted);white-space:nowrap}
details{border:1px solid var(--line);border-radius:8px;margin:8px 0;overflow:hidden}
summary{cursor:pointer;padding:8px 14px;overflow-wrap:anywhere}
summary span{color:var(--muted);font-size:.9rem}
details[open]>summary{border-bottom:1px solid var(--line)}
details>.scroll{border:0;margin:0;border-radius:0}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;padding:10px 14px;font:13px/1.5 ui-monospace,
SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;tab-size:4}
pre+pre{border-top:1px dashed var(--line)}
.long{max-height:34rem;overflow:auto;padding-right:4px}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
footer{margin-top:48px;color:var(--muted);font-size:.85rem}
"""

_PICTURES = """
svg.store{position:absolute}
svg text{fill:var(--ink);font-size:12px}
svg .tick,svg .key{fill:var(--muted);font-size:11.5px}
svg .key{font-size:12px}
svg .value{font-variant-numeric:tabular-nums}
svg .halo{paint-order:stroke;stroke:var(--page);stroke-width:3px;stroke-linejoin:round;stroke-opacity:.85}
svg .panel{font-size:13px;font-weight:600}
svg .end{text-anchor:end}
svg .mid,svg .in-cell{text-anchor:middle}
svg .in-cell{font-size:11px;font-variant-numeric:tabular-nums}
.grid{stroke:var(--line);stroke-width:1}
.frame{fill:none;stroke:var(--line)}
.bar{fill:var(--bar)}
.interval{fill:none;stroke:var(--ink);stroke-width:1.6}
.uniform,.in-force{stroke:var(--muted);stroke-width:1.3;stroke-dasharray:4 3}
.natural{fill:var(--page);stroke:var(--natural);stroke-width:2}
.in-use{fill:var(--page);stroke:var(--in-use);stroke-width:2}
.beyond{fill:none;stroke:var(--muted);stroke-width:1.6}
.gap{fill:var(--soft)}
.main{fill:var(--accent);stroke:var(--page);stroke-width:1.2}
.other{fill:var(--page);stroke-width:2}
.before{fill:var(--page);stroke:var(--muted);stroke-width:2}
.span{stroke:var(--rest);stroke-width:2.4;stroke-linecap:round;opacity:.55}
.place{fill:var(--accent);stroke:var(--page);stroke-width:1}
.ellipse{fill:var(--accent);fill-opacity:.13;stroke:var(--accent);stroke-opacity:.55;stroke-width:1}
.many .ellipse{fill-opacity:.04;stroke-opacity:.22}
.many .place{stroke-width:.6}
.leader{stroke:var(--rest);stroke-width:1}
.path{fill:none;stroke-width:2;stroke-linejoin:round}
.thin{fill:none;stroke:var(--rest);stroke-width:1;opacity:.55}
.band{fill:var(--rest);fill-opacity:.28}
.elbow{fill:none;stroke-width:1;opacity:.8}
.heat{image-rendering:pixelated}
.heat.dark{display:none}
"""

_DARK_PICTURES = ".heat.light{display:none}.heat.dark{display:inline}"

_NARROW = """
@media screen and (max-width:640px){
main{padding:24px 18px 56px}
h1{font-size:1.65rem}
h2{font-size:1.25rem}
section{margin-top:32px;padding-top:22px}
.wide{display:none}
.narrow{display:block}
th.lengthy{min-width:8rem}
}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
"""

_PAPER = """
@page{margin:14mm}
@media print{
body{font-size:10.5pt}
main{max-width:none;padding:0}
nav{display:none}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
section{margin-top:8mm;padding-top:5mm}
h1,h2,h3,summary,caption{break-after:avoid}
section>p{break-inside:avoid;break-after:avoid}
figure,.facts,.verdict,.notices li,.scroll.whole,tr,pre{break-inside:avoid}
figure svg{max-height:205mm}
.scroll,.long{overflow:visible;max-height:none;border:0}
details{overflow:visible}
details:not([open]).printed::details-content{content-visibility:visible;block-size:auto}
details.printed>summary{list-style:none}
table{font-size:8pt}
th,td{padding:2px 5px}
thead th,th[scope=row]{position:static}
pre{font-size:8pt}
}
"""


def style_sheet() -> str:
    """The whole style."""
    light, dark = (_colours(dark=dark) for dark in (False, True))
    return (
        f":root{{color-scheme:light dark}}{light}{_PAGE}{_PICTURES}"
        f"@media screen and (prefers-color-scheme:dark){{{dark}{_DARK_PICTURES}}}"
        f"{_NARROW}{_PAPER}"
    )


def _colours(*, dark: bool) -> str:
    """Variables of the theme, and classes of the levels of heat maps and of series."""
    side = int(dark)
    variables = ";".join(f"--{name}:{both[side]}" for name, both in THEME.items())
    rules = [f":root{{{variables}}}"]
    for level, colour in enumerate(levels(dark=dark)):
        rules.append(f".h{level}{{fill:{colour}}}svg .t{level}{{fill:{written_on(colour)}}}")
    for number, both in enumerate(SERIES, 1):
        rules.append(
            f".c{number}{{stroke:{both[side]}}}svg .label.c{number}{{fill:{both[side]};stroke:none}}"
        )
    for level in range(1, MOVES + 1):
        more, less = (tint(name, level, dark=dark) for name in ("more", "less"))
        rules.append(f".more{level}{{background:{more}}}.less{level}{{background:{less}}}")
    return "\n".join(rules)
