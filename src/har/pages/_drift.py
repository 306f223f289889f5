"""The folder `drift`: a page and a JSON per monitored day, and the page about all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from har.files import write_atomically
from har.monitoring.decisions import DecisionRow
from har.monitoring.drift import DayReport
from har.pages._day import content_id, render_day
from har.pages._history import Move, by_date, in_order, render_index

_HEAD_BYTES = 600
_CONTENT = re.compile(rb'<meta name="har-content" content="([0-9a-f]+)">')


def write_pages(
    folder: Path,
    reports: Sequence[DayReport],
    decisions: Sequence[DecisionRow],
    promotions: Sequence[Move],
    *,
    title: str,
) -> Path:
    """Write `drift/<date>.html` and `.json` of each day and `drift/index.html`, each in one step, if they changed.

    Pages that are up to date are not drawn again. A day's JSON is written before its page, and all days before the
    index: a run that is killed in between leaves nothing that the next one takes for complete, and no dead link.

    Args:
        folder: of the reports.
        reports: of all days, in any order.
        decisions: the policy's log.
        promotions: the registry's log.
        title: the project's name.

    Returns:
        The index.
    """
    pages = folder / "drift"
    days = in_order(reports)
    decided = by_date(decisions)
    dates = [day.date for day in days]
    for day, previous, following in zip(days, [None, *dates], [*dates[1:], None], strict=False):
        rows = decided.get(day.date, [])
        page, data = pages / f"{day.date}.html", pages / f"{day.date}.json"
        content = content_id(day, rows, title=title, previous=previous, following=following)
        if data.is_file() and _content_of(page) == content:
            continue
        _write_if_new(data, _readable(day))
        write_atomically(page, render_day(day, rows, title=title, previous=previous, following=following))
    return _write_if_new(pages / "index.html", render_index(days, decisions, promotions, title=title))


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
