"""The folder `drift`: a page and a JSON per monitored day, a page per earlier year, and the page about all of them."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from har.files import write_atomically
from har.monitoring.decisions import DecisionRow
from har.monitoring.drift import DayReport
from har.pages._day import content_id, render_day
from har.pages._history import Move, render_index, render_year, years_before
from har.pages._render import look
from har.pages._summaries import DaySummary, Kept, read_kept, write_kept

_AT_ONCE = 50
"""Reports in memory."""
_HEAD_BYTES = 600
_CONTENT = re.compile(rb'<meta name="har-content" content="([0-9a-f]+)">')


class Days(Protocol):
    """The days to show: `har.monitoring.MonitoredDays` has them from a lake."""

    def marks(self) -> dict[dt.date, str]:
        """Per day with a report, in order, a text that changes with the report and with what was decided."""

    def reports(self, dates: Collection[dt.date]) -> list[DayReport]:
        """The reports of these days."""

    def decisions(self, dates: Collection[dt.date]) -> list[DecisionRow]:
        """The decisions about these days."""


def write_pages(folder: Path, days: Days, promotions: Sequence[Move], *, title: str) -> Path:
    """Write `drift/<date>.html` and `.json` of each day, the pages of earlier years, and `drift/index.html`.

    Each is written in one step, if it changed, and only days that changed are read. A day's JSON is written before its
    page, and all days before the index: a run that is killed in between leaves nothing that the next one takes for
    complete, and no dead link.

    Args:
        folder: of the reports.
        days: what to show.
        promotions: the registry's log.
        title: the project's name.

    Returns:
        The index.
    """
    pages = folder / "drift"
    before, there = read_kept(folder), _sizes(pages)
    wanted = _contents(days.marks(), title)
    outdated = [date for date, content in wanted.items() if not _is_written(date, content, before, there)]
    kept = {date: before[date] for date in wanted if date not in set(outdated)}
    dates = list(wanted)
    neighbours = dict(zip(dates, zip([None, *dates], [*dates[1:], None], strict=False), strict=False))
    for block in _blocks(outdated):
        decided = by_date(days.decisions(block))
        for report in days.reports(block):
            rows = decided.get(report.date, [])
            sizes = _write_day(pages, report, rows, neighbours[report.date], title)
            kept[report.date] = Kept(wanted[report.date], sizes, DaySummary.of(report, rows))
    shown = [kept[date].day for date in dates]
    for year in years_before(shown, promotions):
        path, mark = pages / f"{year}.html", _content_of_year(year, kept, promotions, title)
        if _content_of(path) != mark:
            write_atomically(path, render_year(year, shown, promotions, title=title, content_id=mark))
    index = _write_if_new(pages / "index.html", render_index(shown, promotions, title=title))
    if outdated or before.keys() != wanted.keys():
        write_kept(folder, [kept[date] for date in dates])
    return index


def by_date(decisions: Sequence[DecisionRow]) -> dict[dt.date, list[DecisionRow]]:
    """Each day's decisions."""
    found: dict[dt.date, list[DecisionRow]] = {}
    for row in decisions:
        found.setdefault(row.date, []).append(row)
    return found


def _contents(marks: Mapping[dt.date, str], title: str) -> dict[dt.date, str]:
    """What identifies each day's page without reading the day."""
    dates = list(marks)
    common = f"{title} {look()}"
    return {
        date: hashlib.sha256(f"{common} {marks[date]} {previous} {following}".encode()).hexdigest()[:32]
        for date, previous, following in zip(dates, [None, *dates], [*dates[1:], None], strict=False)
    }


def _content_of_year(year: int, kept: Mapping[dt.date, Kept], promotions: Sequence[Move], title: str) -> str:
    """What identifies the page of a year."""
    days = sorted((date, one.content) for date, one in kept.items() if date.year == year)
    content = repr((title, look(), days, [move for move in promotions if move.when.year == year]))
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _is_written(date: dt.date, content: str, before: Mapping[dt.date, Kept], there: Mapping[str, int]) -> bool:
    known = before.get(date)
    sizes = (there.get(f"{date}.html"), there.get(f"{date}.json"))
    return known is not None and known.content == content and known.sizes == sizes


def _sizes(pages: Path) -> dict[str, int]:
    """The files of the folder and their bytes."""
    try:
        with os.scandir(pages) as entries:
            return {entry.name: entry.stat().st_size for entry in entries}
    except FileNotFoundError:
        return {}


def _blocks(dates: Sequence[dt.date]) -> Iterator[Sequence[dt.date]]:
    return (dates[first : first + _AT_ONCE] for first in range(0, len(dates), _AT_ONCE))


def _write_day(
    pages: Path,
    report: DayReport,
    rows: Sequence[DecisionRow],
    neighbours: tuple[dt.date | None, dt.date | None],
    title: str,
) -> tuple[int, int]:
    """Write a day's JSON and page if they are new; returns the bytes of the page and of the JSON."""
    previous, following = neighbours
    page, data = pages / f"{report.date}.html", pages / f"{report.date}.json"
    content = content_id(report, rows, title=title, previous=previous, following=following)
    if not data.is_file() or _content_of(page) != content:
        _write_if_new(data, _readable(report))
        write_atomically(page, render_day(report, rows, title=title, previous=previous, following=following))
    return page.stat().st_size, data.stat().st_size


def _content_of(page: Path) -> str:
    try:
        with page.open("rb") as stream:
            found = _CONTENT.search(stream.read(_HEAD_BYTES))
    except FileNotFoundError:
        return ""
    return found[1].decode() if found else ""


def _write_if_new(path: Path, text: str) -> Path:
    try:
        if path.read_bytes() == text.encode():
            return path
    except FileNotFoundError:
        pass
    return write_atomically(path, text)


def _readable(report: DayReport) -> str:
    """The report as JSON, with one line for each value and for each element of a list."""
    lines = []
    for name, value in json.loads(report.to_json()).items():
        if isinstance(value, list) and value:
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value)
            lines.append(f" {json.dumps(name)}: [\n  {rows}\n ]")
        else:
            lines.append(f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
