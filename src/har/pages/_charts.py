"""matplotlib figures as inline SVG whose colours and fonts are the page's, so that they fit light, dark and print.

matplotlib draws with placeholder colours; each stands for a CSS variable of `base.html.j2` and is replaced by it.
Importing matplotlib takes half a second: pages import this module only when they draw.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

_NAMES = ("ink", "muted", "grid", "accent", "on-accent", "second", "card", "h0", "h1", "h2", "h3", "h4", "h5", "dot")
_PLACEHOLDERS = {name: "#" + 3 * f"{number:02x}" for number, name in enumerate(_NAMES, 1)}
INK, MUTED, GRID, ACCENT, ON_ACCENT, SECOND, CARD = list(_PLACEHOLDERS.values())[:7]
HEAT = tuple(_PLACEHOLDERS[f"h{level}"] for level in range(6))
DOT = _PLACEHOLDERS["dot"]
_BY_PLACEHOLDER = {colour: f"var(--{name})" for name, colour in _PLACEHOLDERS.items()}
_STYLE: Any = {
    "svg.hashsalt": "har",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "ytick.major.pad": 8,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.2,
    "lines.solid_capstyle": "round",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw inside this: whatever the user's matplotlibrc says, equal figures give equal bytes."""
    with mpl.rc_context(), warnings.catch_warnings():
        # The browser's fonts draw the text; a glyph that matplotlib's own font lacks does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """An empty figure of this size in CSS pixels; one matplotlib point is one pixel."""
    return Figure(figsize=(width / 72, height / 72), **options)


def svg(figure: Figure, name: str, description: str) -> Markup:
    """The figure as one SVG element.

    Args:
        figure: drawn inside `style`.
        name: prefix of all ids, unique on the page.
        description: what a screen reader says in place of the picture.
    """
    buffer = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # A style element inside an SVG applies to the whole page; base.html.j2 says the same for figures alone.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(
        r"\b(fill|stroke): (#\w{6})\b", lambda found: f"{found[1]}: {_BY_PLACEHOLDER.get(found[2], found[2])}", text
    )
    # matplotlib 3.10 writes `font: 700 12px 'DejaVu Sans', …`, later ones a property each; the family is the page's.
    text = re.sub(r"font: (?:(\d+) )?([\d.]+px) [^;\"]*", _font, text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    width, height = figure.get_size_inches() * 72
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-labelledby="{name}-description" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:g} {height:g}">\n <title id="{name}-description">{escape(description)}</title>'
    )
    # Safe: matplotlib escapes the texts of a figure.
    return Markup(re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1))  # noqa: S704


def _font(found: re.Match[str]) -> str:
    weight = f"font-weight: {found[1]}; " if found[1] else ""
    return f"{weight}font-size: {found[2]}"
