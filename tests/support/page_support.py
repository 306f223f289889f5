"""A page as a browser meets it, and its charts: marks and texts with what they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import ClassVar
from xml.etree.ElementTree import Element, fromstring

_SVG = "{http://www.w3.org/2000/svg}"


class Page(HTMLParser):
    """A page as a browser without a network meets it: tags in order, links, text; complains about what does not fit."""

    void: ClassVar = {"meta", "br", "link", "img", "hr", "input", "wbr"}
    loading: ClassVar = {"src", "xlink:href", "srcset", "data", "action", "poster", "background"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.styles: list[str] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert len(values) == len(attrs), f"{tag} names an attribute twice"
        self.tags.append((tag, values))
        self.loads += [
            value or ""
            for name, value in attrs
            if name.startswith("on") or (name in self.loading and not (value or "").startswith("#"))
        ]
        self.links += [values["href"] or ""] if "href" in values else []
        self.styles += [value or "" for name, value in attrs if name == "style"]
        if tag not in self.void:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.styles if self._open and self._open[-1] == "style" else self.text).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [values for name, values in self.tags if name == tag]

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))

    @property
    def drawings(self) -> list[Element]:
        return [fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", self.source, re.DOTALL)]  # noqa: S314

    @property
    def charts(self) -> list[Chart]:
        return [Chart(drawing) for drawing in self.drawings]


class Chart:
    """A chart's elements by the ids that it gives them; the names of its rows are the texts at its right edge.

    Attributes:
        drawing: the SVG.
        size: width and height in pixels.
        description: what a screen reader says.
        texts: the upright ones: text, x, y of the baseline, style.
    """

    def __init__(self, drawing: Element) -> None:
        self.drawing = drawing
        self.size = (float(drawing.get("width") or 0), float(drawing.get("height") or 0))
        self.description = drawing.findtext(f"{_SVG}title") or ""
        self.texts = [
            ("".join(text.itertext()), *place, text.get("style") or "")
            for text in drawing.iter(f"{_SVG}text")
            if (place := _place(text))
        ]

    @property
    def labels(self) -> list[str]:
        """The names of rows, and the values of axes, from top to bottom."""
        return [text for text, _ in self._labels()]

    def _labels(self) -> list[tuple[str, float]]:
        places = [round(x) for _, x, _, _ in self.texts]
        edge = max(places, key=places.count)
        return sorted(((text, y) for text, x, y, _ in self.texts if abs(x - edge) <= 1), key=lambda label: label[1])

    def group(self, name: str) -> Element | None:
        found = [e for e in self.drawing.iter(f"{_SVG}g") if (e.get("id") or "").endswith(f"-{name}")]
        assert len(found) <= 1
        return found[0] if found else None

    def marks(self, name: str) -> list[tuple[float, float]]:
        """Where the marks of a group are: x and y."""
        group = self.group(name)
        uses = group.iter(f"{_SVG}use") if group is not None else iter(())
        return [(float(use.get("x") or 0), float(use.get("y") or 0)) for use in uses]

    def row(self, y: float) -> str:
        """The label of the row at this height; a label's baseline lies a little below its middle."""
        return min(self._labels(), key=lambda label: abs(label[1] - 4 - y))[0]

    def column(self, x: float, columns: int) -> int:
        """The column at this place, of so many; the band of model versions spans all of them."""
        first, last = self.span
        return int((x - first) / (last - first) * columns)

    @property
    def span(self) -> tuple[float, float]:
        """Left and right edge of all columns."""
        edges = [x for line in self._levels() for x, _ in points(line)]
        return min(edges), max(edges)

    def _levels(self) -> Iterator[Element]:
        """Lines of the grid, which go from the first column to the last one."""
        for path in self.drawing.iter(f"{_SVG}path"):
            if "stroke: var(--grid)" in (path.get("style") or ""):
                yield path

    def lanes(self, columns: int) -> dict[str, list[int]]:
        """The columns marked in each lane of events."""
        found: dict[str, list[int]] = {}
        number = 0
        while self.group(f"lane-{number}") is not None:
            for x, y in self.marks(f"lane-{number}"):
                found.setdefault(self.row(y), []).append(self.column(x, columns))
            number += 1
        return found

    def cells(self) -> list[str]:
        """The colours of the heat map's cells: names of variables."""
        group = self.group("heat")
        styles = [e.get("style") or "" for e in group.iter()] if group is not None else []
        return [found[1] for style in styles if (found := re.search(r"fill: var\(--(h\d)\)", style))]


def points(path: Element) -> list[tuple[float, float]]:
    """The corners of a path."""
    numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", path.get("d") or "")]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _place(text: Element) -> tuple[float, float] | None:
    """Where a text is: x and y of its baseline; None: it is rotated."""
    turn = text.get("transform") or ""
    if moved := re.fullmatch(r"translate\(([-\d.]+) ([-\d.]+)\)", turn):
        return float(moved[1]), float(moved[2])
    return None if turn else (float(text.get("x") or 0), float(text.get("y") or 0))
