"""Line charts on logarithmic axes as SVG, readable on light and on dark ground, without any library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 360, 70, 160, 40, 50
_STYLE = """
text { font: 12px sans-serif; fill: #333 } .title { font-weight: bold; font-size: 14px }
.grid { stroke: #ccc } .line { fill: none; stroke-width: 2 }
.c0 { stroke: #0063b2 } .c1 { stroke: #c2410c } .c2 { stroke: #15803d } .c3 { stroke: #7e22ce } .c4 { stroke: #64748b }
.c5 { stroke: #be185d }
@media (prefers-color-scheme: dark) {
 text { fill: #ddd } .grid { stroke: #444 }
 .c0 { stroke: #60a5fa } .c1 { stroke: #fb923c } .c2 { stroke: #4ade80 } .c3 { stroke: #c084fc } .c4 { stroke: #94a3b8 }
 .c5 { stroke: #f472b6 }
}"""


def chart(title: str, lines: Mapping[str, Points], *, x: str, y: str) -> str:
    """Draw named lines over decades."""
    x_first, x_last = _decades([point[0] for points in lines.values() for point in points])
    y_first, y_last = _decades([point[1] for points in lines.values() for point in points])

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across = (math.log10(point[0]) - x_first) / (x_last - x_first)
        up = (math.log10(point[1]) - y_first) / (y_last - y_first)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    out = [f'<text class="title" x="{_LEFT}" y="20">{escape(title)}</text>']
    for value in _ticks(x_first, x_last):
        at = place((value, 10.0**y_first))[0]
        out.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        out.append(f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{_number(value)}</text>')
    for value in _ticks(y_first, y_last):
        at = place((10.0**x_first, value))[1]
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    for number, (name, points) in enumerate(lines.items()):
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in map(place, points))
        out.append(f'<polyline class="line c{number % 6}" points="{path}"/>')
        label = _TOP + 14 + 20 * number
        out.append(f'<line class="line c{number % 6}" x1="{_WIDTH - 150}" x2="{_WIDTH - 130}" y1="{label - 4}"')
        out.append(f' y2="{label - 4}"/><text x="{_WIDTH - 124}" y="{label}">{escape(name)}</text>')
    out.append(f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">{escape(x)}</text>')
    out.append(f'<text x="{_LEFT - 6}" y="{_TOP - 14}" text-anchor="end">{escape(y)}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
    return "\n".join([head, f"<title>{escape(title)}</title><style>{_STYLE}</style>", *out, "</svg>"]) + "\n"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return first, max(last, first + 1)


def _ticks(first: int, last: int) -> list[float]:
    """Return the decades, and what lies between them where they are few."""
    between = (1, 2, 5) if last - first <= 2 else (1,)
    return [*(digit * 10.0**decade for decade in range(first, last) for digit in between), 10.0**last]


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1 <= value <= 10**7 else f"{value:g}"
