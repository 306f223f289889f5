"""The history in a real Postgres."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres_support import Postgres, postgres

from har.errors import SettingsError, StateError
from har.settings import Settings
from har.streaming.history import History, HistoryRow, Written, open_history
from har.streaming.state import Answer

PRESENT = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)


@dataclass
class Clock:
    now: dt.datetime = PRESENT

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


def _address(server: Postgres, database: str = "postgres") -> str:
    return server.address.replace("+psycopg", "").replace("/postgres", f"/{database}")


@pytest.fixture
def database(server: Postgres) -> Iterator[str]:
    """The address of an empty database."""
    name = f"d{uuid.uuid4().hex[:12]}"
    with psycopg.connect(_address(server), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield _address(server, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def clock() -> Clock:
    return Clock()


Open = Callable[[], History]


@pytest.fixture
def connect(database: str, clock: Clock) -> Iterator[Open]:
    made: list[History] = []

    def connected() -> History:
        made.append(History(database, "", 30, clock))
        return made[-1]

    yield connected
    for history in made:
        history.close()


def rows(count: int, start: dt.datetime = PRESENT, subject: str = "S01", **fields: Any) -> list[HistoryRow]:
    """Windows of 4 s, one every 2 s."""
    first = round(start.timestamp() * 1e6)
    answer = Answer(first, first + 4_000_000, "PEN", 0.75, False, 3)
    return [
        HistoryRow(
            subject,
            "a",
            replace(answer, start_us=first + i * 2_000_000, end_us=first + i * 2_000_000 + 4_000_000, **fields),
        )
        for i in range(count)
    ]


def select(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query).fetchall()


def test_the_first_write_makes_the_table_and_partitions_ahead(connect: Open, database: str) -> None:
    assert connect().write(rows(3)) == Written(new=3)

    stored = select(database, "SELECT subject, session, activity, confidence, smoothed FROM har.predictions")
    assert stored == [("S01", "a", "PEN", 0.75, "")] * 3
    state = connect().state()
    assert (state.first, state.last, state.days) == (PRESENT.date(), dt.date(2026, 11, 30), 4)
    assert state.newest == PRESENT + dt.timedelta(seconds=4)
    assert state.size_bytes > 0


def test_the_same_rows_again_change_nothing_from_whichever_consumer(connect: Open, database: str) -> None:
    one, other = connect(), connect()
    one.write(rows(5))

    assert other.write(rows(8)) == Written(new=3)
    assert one.write([*rows(8), *rows(8)]) == Written()
    assert select(database, "SELECT count(*) FROM har.predictions") == [(8,)]


def test_smoothing_completes_a_row_and_nothing_else_changes_it(connect: Open, database: str) -> None:
    history = connect()
    history.write(rows(1))

    assert history.write([*rows(1), *rows(1, smoothed="ABD")]) == Written(smoothed=1)
    assert history.write(rows(1, smoothed="ROW", activity="ROW")) == Written()
    assert select(database, "SELECT activity, smoothed FROM har.predictions") == [("PEN", "ABD")]


def test_each_day_has_its_partition_and_old_ones_are_dropped(connect: Open, database: str, clock: Clock) -> None:
    history = connect()
    for ago in (0, 5, 29):
        history.write(rows(2, PRESENT - dt.timedelta(days=ago)))
    assert history.state().days == 6

    clock.now += dt.timedelta(days=10)

    assert history.look_after() == [dt.date(2026, 10, 29)]
    assert select(database, "SELECT count(*) FROM har.predictions") == [(4,)]
    plan = "\n".join(
        line for (line,) in select(database, "EXPLAIN SELECT * FROM har.predictions WHERE start >= '2026-11-27'")
    )
    assert "predictions_20261127" in plan
    assert "predictions_20261122" not in plan, "other days are not read"
    indexes = select(database, "SELECT indexdef FROM pg_indexes WHERE tablename = 'predictions_20261127'")
    assert any("brin (start)" in definition for (definition,) in indexes)


def test_windows_of_wrong_clocks_are_left_out_and_counted(connect: Open) -> None:
    history = connect()
    batch = [*rows(1, PRESENT - dt.timedelta(days=40)), *rows(2), *rows(3, PRESENT + dt.timedelta(days=400))]

    assert history.write(batch) == Written(new=2, left_out=4)
    assert history.write(rows(1, PRESENT + dt.timedelta(days=400))) == Written(left_out=1)
    assert history.state().days == 4


def test_any_name_can_be_written(connect: Open, database: str) -> None:
    name = "O'Hara\t\\.\n% é"
    connect().write(rows(1, subject=name))

    assert select(database, "SELECT subject FROM har.predictions") == [(name,)]


def test_it_goes_on_after_the_server_was_away(clock: Clock) -> None:
    with postgres() as server:
        history = History(_address(server), "", 30, clock)
        history.write(rows(2))
        server.stop()
        with pytest.raises(StateError, match=r"stream\.history\.address = postgresql://har@127.*make stack"):
            history.write(rows(4))
        server.start()

        assert history.write(rows(4)) == Written(new=2)
        history.close()


def test_an_older_layout_gets_what_is_new(connect: Open, database: str) -> None:
    connect().write(rows(1))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP VIEW har.minutes")
        connection.execute("DELETE FROM har.migrations WHERE step = 2")

    connect().write(rows(2))

    assert select(database, "SELECT activity, windows FROM har.minutes") == [("PEN", 2)]


def test_the_view_counts_overlapping_windows_once(connect: Open, database: str) -> None:
    history = connect()
    history.write(rows(10, PRESENT.replace(minute=30)))
    history.write(rows(5, PRESENT.replace(hour=13), abstained=True))

    assert [
        (hour.astimezone(dt.UTC).hour, activity, round(float(minutes) * 60), windows)
        for hour, activity, minutes, windows in select(
            database, "SELECT hour, activity, minutes, windows FROM har.minutes ORDER BY hour"
        )
    ] == [(12, "PEN", 22, 10), (13, "uncertain", 12, 5)]


def test_an_error_shows_no_password(clock: Clock) -> None:
    history = History("postgresql://har:s3cret@127.0.0.1:1/har", "", 30, clock)

    with pytest.raises(StateError) as raised:
        history.state()

    assert "s3cret" not in str(raised.value)


def test_the_settings_name_it(settings: Settings, change: Callable[..., Settings], tmp_path: Path) -> None:
    assert open_history(settings) is None

    named = change(stream={"history": {"address": "postgresql://har@127.0.0.1:1/har", "password_file": "data/pw"}})

    with pytest.raises(SettingsError, match=r"password_file.*data/pw.*chmod 600"):
        open_history(named)
    (settings.root / "data").mkdir()
    (settings.root / "data" / "pw").write_text("secret\n")
    assert open_history(named) is not None
