"""The examples of docs/how-to/stream-state.md run as they stand there."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from pathlib import Path

import polars as pl
import psycopg
import pytest
from postgres_support import postgres
from stream_lake_support import put_days

from har.lake import Lake
from har.settings import Settings
from har.streaming.baselines import update
from har.streaming.history import History, HistoryRow
from har.streaming.state import Answer

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "stream-state.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_settings_are_the_projects(settings: Settings) -> None:
    for block in _blocks("toml"):
        content = tomllib.loads(block)["stream"]
        values = settings.model_dump()
        for section, given in content.items():
            values["stream"][section] |= given
        assert Settings(**values, root=settings.root).stream


def test_both_queries_answer() -> None:
    minutes, last = _blocks("sql")
    now = dt.datetime.now(dt.UTC)
    first = round((now - dt.timedelta(minutes=10)).timestamp() * 1e6)
    rows = [
        HistoryRow(subject, "a", Answer(start, start + 4_000_000, activity, 0.75, False, 3, smoothed))
        for subject, activity, smoothed in (("S01", "PEN", ""), ("S02", "PEN", "ABD"))
        for start in range(first, first + 60_000_000, 2_000_000)
    ]
    with postgres() as server:
        address = server.address.replace("+psycopg", "")
        history = History(address, "", 30)
        history.write(rows)
        history.close()
        with psycopg.connect(address) as database:
            by_hour = database.execute(minutes).fetchall()
            present = database.execute(last).fetchall()

    assert {activity for _, activity, _, _ in by_hour} == {"PEN"}
    assert float(sum(found for _, _, found, _ in by_hour)) == pytest.approx(2 * 62 / 60, abs=0.15)
    assert [(subject, activity, unknown) for subject, _, activity, _, unknown in present] == [
        ("S01", "PEN", False),
        ("S02", "ABD", False),
    ]


def test_what_was_known_before_an_event_is_joined(
    lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    put_days(lake, (1, "S03", 30, "PEN"))  # 2 March
    update(lake, settings)
    (example,) = _blocks("python")

    with pl.Config(tbl_cols=-1, tbl_width_chars=400):
        exec(compile(example, "stream-state.md", "exec"), {})  # noqa: S102  of the handbook

    shown = capsys.readouterr().out
    assert "baseline_date" in shown and "2026-03-02" in shown and "null" in shown
