"""Charts: bars as SVG that stands in a page, of the page's own colours, with nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_NAMES: Final = 96
_LONGEST: Final = 420
_VALUES: Final = 104
_LINE: Final = 24
_BAR: Final = 16


@dataclass(frozen=True, slots=True)
class Bar:
    """A name, the length of its bar, and how that is shown. ours: it is the one that stands out."""

    name: str
    value: float
    shown: str
    ours: bool = False


def chart(title: str, bars: Sequence[Bar]) -> str:
    """Return a figure with a bar a line; the longest one has the whole width."""
    longest = max(bar.value for bar in bars) or 1.0
    width, height = _NAMES + _LONGEST + _VALUES, _LINE * len(bars)
    drawn = [
        part
        for number, bar in enumerate(bars)
        for part in _drawn(bar, _LINE * number, _LONGEST * bar.value / longest)
    ]
    label = escape(f"{title}: {', '.join(f'{bar.name} {bar.shown}' for bar in bars)}")
    return "\n".join(
        [
            "<figure>",
            f"<figcaption>{escape(title)}</figcaption>",
            f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{label}"'
            ' fill="currentColor" font-size="13">',
            *drawn,
            "</svg>",
            "</figure>",
        ]
    )


def _drawn(bar: Bar, top: int, length: float) -> list[str]:
    base = top + _BAR
    look = ' font-weight="bold"' if bar.ours else ""
    opacity = 0.8 if bar.ours else 0.35
    return [
        f'<text x="{_NAMES - 8}" y="{base}" text-anchor="end"{look}>{escape(bar.name)}</text>',
        f'<rect x="{_NAMES}" y="{top + 3}" width="{max(length, 1.0):.1f}" height="{_BAR}"'
        f' opacity="{opacity}"/>',
        f'<text x="{_NAMES + length + 6:.1f}" y="{base}"{look}>{escape(bar.shown)}</text>',
    ]
