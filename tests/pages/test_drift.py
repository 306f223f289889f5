"""The folder of the monitored days: which pages are written when."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import re
from pathlib import Path

from monitoring_support import NAMES, SCORES, Given, promotion, story
from page_support import Page

from har.monitoring.drift import DayReport
from har.pages import write_index, write_pages
from har.pages._summaries import KEPT

MOVES = [
    promotion(dt.datetime(2026, 1, 4, 9, tzinfo=dt.UTC), 1, None, 1),
    promotion(dt.datetime(2026, 1, 17, 3, 22, tzinfo=dt.UTC), 2, 1, 2),
]


def stamps(folder: Path) -> dict[str, int]:
    """Which inode each file has: replaced ones have a new one."""
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def written(folder: Path, before: dict[str, int]) -> set[str]:
    return {name for name, inode in stamps(folder).items() if before.get(name) != inode}


def test_pages_are_written_whole_and_only_if_they_changed(tmp_path: Path) -> None:
    reports, decisions = story(12, 9)

    def write(days: int, rows=decisions, **changes) -> Path:
        return write_pages(tmp_path, Given(reports[:days], rows[:days]), MOVES, **{"title": "house", **changes})

    index = write(11)
    folder = tmp_path / "drift"
    assert index == folder / "index.html"
    dates = [report.date.isoformat() for report in reports]
    assert set(stamps(folder)) == {
        "index.html",
        *(f"{date}.{kind}" for date in dates[:11] for kind in ("html", "json")),
    }
    keep = [os.link(path, tmp_path / path.name) for path in folder.iterdir()]  # so that no inode is used twice
    assert len(keep) == 23

    before = stamps(folder)
    write(11)
    assert written(folder, before) == set(), "nothing new, nothing written"
    write(12)
    # The day before it now links to the new one.
    assert written(folder, before) == {"index.html", f"{dates[10]}.html", f"{dates[11]}.html", f"{dates[11]}.json"}

    before = stamps(folder)
    came = [
        dataclasses.replace(row, outcome="version 2 was promoted") if n == 3 else row for n, row in enumerate(decisions)
    ]
    write(12, came)
    assert written(folder, before) == {f"{dates[3]}.html"}, "what came of a decision is on its day's page"
    before = stamps(folder)
    write(12, came, title="other")
    assert len(written(folder, before)) == 13, "every page, no JSON"


def test_only_changed_days_are_read_and_the_index_does_not_grow(tmp_path: Path) -> None:
    every, decisions = story(430)
    reports = [dataclasses.replace(one, distributions=(), slices=(), features=one.features[:6]) for one in every]
    few, many = Given(reports[:62], decisions[:62]), Given(reports[:429], decisions[:429])
    index = write_pages(tmp_path, few, MOVES, title="house")
    size = index.stat().st_size
    write_pages(tmp_path, many, MOVES, title="house")
    assert index.stat().st_size < 1.1 * size, "62 columns of days, then of weeks"
    assert sorted(path.name for path in index.parent.glob("????.html")) == ["2026.html", "2027.html"]
    listed = [Page((index.parent / f"{year}.html").read_text()).links[1:] for year in (2027, 2026)]
    assert [*listed[0], *listed[1]] == [f"{report.date}.html" for report in reports[:429]][::-1]

    day = Given(reports, decisions)
    before = stamps(index.parent)
    write_pages(tmp_path, day, MOVES, title="house")
    assert day.read == [reports[428].date, reports[429].date], "the one before it links to it"
    assert "2026.html" not in written(index.parent, before)
    whole = {path.name: path.read_bytes() for path in index.parent.iterdir()}

    (tmp_path / KEPT).write_bytes(b"spoiled")
    before = stamps(index.parent)
    write_pages(tmp_path, day, MOVES, title="house")
    assert len(day.read) == 2 + 430, "without what is kept, all days are read"
    assert {path.name: path.read_bytes() for path in index.parent.iterdir()} == whole
    assert written(index.parent, before) == set()


def test_what_a_killed_run_left_is_mended(tmp_path: Path) -> None:
    reports, decisions = story(4)
    folder = write_pages(tmp_path, Given(reports, decisions), MOVES, title="house").parent
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "2026-01-05.json").unlink()
    (folder / "2026-01-06.html").unlink()
    (folder / "2026-01-07.html").write_bytes(b"")
    (folder / "index.html").write_bytes(whole["index.html"][:900])
    write_pages(tmp_path, Given(reports, decisions), MOVES, title="house")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_every_link_leads_somewhere_and_the_json_is_the_report(tmp_path: Path) -> None:
    reports, decisions = story(6)
    folder = write_pages(tmp_path, Given(reports, decisions), MOVES, title="house").parent
    write_index(tmp_path, title="house")
    for path in folder.glob("*.html"):
        for link in Page(path.read_text(encoding="utf-8")).links:
            assert (folder / link).is_file()
    for report in reports:
        text = (folder / f"{report.date}.json").read_text(encoding="utf-8")
        assert DayReport.from_json(text, where="here") == report
        assert max(map(len, text.splitlines())) < 1500, "a person can read it"
        assert len(re.findall('^  {"name": ', text, re.MULTILINE)) == len(NAMES) + 2 + 5 + len(SCORES)


def test_an_empty_lake_has_an_index(tmp_path: Path) -> None:
    index = write_pages(tmp_path, Given([]), [], title="house")
    assert [path.name for path in index.parent.iterdir()] == ["index.html"]
