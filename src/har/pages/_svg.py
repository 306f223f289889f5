"""Shapes in, one inline SVG out: described in words, its colours the page's by class, so that every theme fits."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape


class Drawing:
    """An SVG of so many CSS pixels that is filled element by element; every text and attribute is escaped."""

    def __init__(self, width: float, height: float = 0.0) -> None:
        self.width = width
        self.height = height
        self._parts: list[str] = []

    def rect(self, x: float, y: float, width: float, height: float, kind: str, *, title: str = "") -> None:
        """A rectangle of the CSS class `kind`; `title` is what a pointer above it is told."""
        place = f'x="{x:.4g}" y="{y:.4g}" width="{width:.4g}" height="{height:.4g}"'
        self._add("rect", f'{place} class="{escape(kind)}"', title)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str, *, title: str = "") -> None:
        """A straight line."""
        place = f'x1="{x1:.5g}" y1="{y1:.5g}" x2="{x2:.5g}" y2="{y2:.5g}"'
        self._add("line", f'{place} class="{escape(kind)}"', title)

    def path(self, points: Iterable[tuple[float, float]], kind: str, *, closed: bool = False, title: str = "") -> None:
        """Straight lines from point to point."""
        steps = "L".join(f"{x:.5g} {y:.5g}" for x, y in points)
        self._add("path", f'd="M{steps}{"Z" if closed else ""}" class="{escape(kind)}"', title)

    def circle(self, x: float, y: float, radius: float, kind: str, *, title: str = "") -> None:
        """A circle."""
        self._add("circle", f'cx="{x:.5g}" cy="{y:.5g}" r="{radius:.4g}" class="{escape(kind)}"', title)

    def text(self, x: float, y: float, text: str, kind: str = "", *, anchor: str = "start", title: str = "") -> None:
        """A line of text; `y` is its baseline."""
        hint = f"<title>{escape(title)}</title>" if title else ""
        place = f'x="{x:.5g}" y="{y:.5g}" text-anchor="{anchor}" class="{escape(kind)}"'
        self._parts.append(f"<text {place}>{hint}{escape(text)}</text>")

    def mark(self, x: float, y: float, shape: str, kind: str, *, title: str = "") -> None:
        """A sign of about 10 pixels around a point: diamond, square, triangle, cross or circle."""
        if shape == "circle":
            self.circle(x, y, 4.2, kind, title=title)
            return
        self.path(((x + dx, y + dy) for dx, dy in _SHAPES[shape]), kind, closed=True, title=title)

    def svg(self, description: str) -> Markup:
        """The whole element; without a description it is ornament, which readers of the page's text pass over."""
        words = f'role="img" aria-label="{escape(description)}"' if description else 'aria-hidden="true"'
        opening = (
            f'<svg xmlns="http://www.w3.org/2000/svg" {words} '
            f'width="{self.width:.0f}" height="{self.height:.0f}" viewBox="0 0 {self.width:g} {self.height:g}">'
        )
        return Markup("\n".join([opening, *self._parts, "</svg>"]))  # noqa: S704 - escaped piece by piece above

    def _add(self, tag: str, attributes: str, title: str) -> None:
        hint = f"<title>{escape(title)}</title></{tag}>" if title else ""
        self._parts.append(f"<{tag} {attributes}>{hint}" if title else f"<{tag} {attributes}/>")


_SHAPES = {
    "diamond": ((0, -5.4), (5.4, 0), (0, 5.4), (-5.4, 0)),
    "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
    "triangle": ((0, -5), (5.2, 4.2), (-5.2, 4.2)),
    "cross": (
        (-5, -3.2), (-3.2, -5), (0, -1.8), (3.2, -5), (5, -3.2), (1.8, 0),
        (5, 3.2), (3.2, 5), (0, 1.8), (-3.2, 5), (-5, 3.2), (-1.8, 0),
    ),
}  # fmt: skip
