"""The hot store in a file."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hot_support import HOUR_US, KEEP_US, PRESENT_US, Clock, answer, state

from har.errors import StateError
from har.settings import Settings
from har.streaming.state import HOT_FILE, open_hot
from har.streaming.state._sqlite import SqliteHotStore


def _rows(path: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as file:
        return int(file.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  of this file


def test_the_default_is_a_file_of_the_project(settings: Settings) -> None:
    hot = open_hot(settings)
    hot.write([state("S01")], {})

    assert (settings.path("stream") / HOT_FILE).is_file()
    hot.close()


def test_rows_of_silent_subjects_go_in_small_steps(tmp_path: Path) -> None:
    path, clock = tmp_path / "hot.sqlite", Clock()
    hot = SqliteHotStore(path, KEEP_US, clock)
    hot.write([state(f"S{i:02}") for i in range(50)], {f"S{i:02}": [answer()] for i in range(50)})
    left = []
    for _ in range(4):
        clock.now += KEEP_US + 1 if not left else 2_000_000
        hot.write([state("Z", seen_us=clock.now)], {})
        left.append((_rows(path, "subjects"), _rows(path, "answers")))
    hot.close()

    assert left == [(31, 30), (11, 10), (1, 0), (1, 0)]


def test_the_file_does_not_grow_with_the_days_of_a_subject(tmp_path: Path) -> None:
    path, clock = tmp_path / "hot.sqlite", Clock()
    hot = SqliteHotStore(path, KEEP_US, clock)
    for hour in range(200):
        clock.now = PRESENT_US + hour * HOUR_US
        hot.write([state("S01", clock.now, clock.now)], {"S01": [answer(clock.now)]})
    hot.close()

    assert _rows(path, "answers") == 49


def test_a_file_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "hot.sqlite"
    hot = SqliteHotStore(path, KEEP_US, Clock())
    hot.write([state("S01")], {})
    path.unlink()

    assert hot.subjects() == []
    hot.write([state("S02")], {})
    assert [found.subject for found in hot.subjects()] == ["S02"]
    hot.close()


def test_a_damaged_file_is_an_error_that_says_how_to_mend_it(tmp_path: Path) -> None:
    path = tmp_path / "hot.sqlite"
    path.write_bytes(b"no database" * 1000)
    hot = SqliteHotStore(path, KEEP_US, Clock())

    with pytest.raises(StateError, match=r"hot\.sqlite.*not a database.*har stream rebuild"):
        hot.subjects()
    hot.clear()
    hot.write([state("S01")], {})

    assert [found.subject for found in hot.subjects()] == ["S01"]
    hot.close()


def test_a_file_of_another_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hot.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version = 77")

    with pytest.raises(StateError, match=r"layout 77.*har stream rebuild"):
        SqliteHotStore(path, KEEP_US, Clock()).write([state("S01")], {})


def test_a_folder_that_cannot_be_made_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "stream").write_text("a file")

    with pytest.raises(StateError, match=r"stream.hot\.sqlite.*paths\.stream"):
        SqliteHotStore(tmp_path / "stream" / "hot.sqlite", KEEP_US, Clock()).write([state("S01")], {})


_WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from hot_support import KEEP_US, PRESENT_US, Clock, answer, state
from har.streaming.state._sqlite import SqliteHotStore

hot = SqliteHotStore(Path(sys.argv[1]), KEEP_US, Clock())
for number in range(100):
    start = PRESENT_US + number * 1_000_000
    states = [replace(state(f"S{i:02}", start), windows=number + 1) for i in range(40)]
    hot.write(states, {one.subject: [answer(start)] for one in states})
    if number == 0:
        print("begun", flush=True)
"""


def test_another_process_reads_whole_states_while_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "hot.sqlite"
    hot = SqliteHotStore(path, KEEP_US, Clock())
    support = str(Path(__file__).parents[2] / "support")
    command = [sys.executable, "-c", _WRITER, str(path), support]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"begun\n"
        reached = 0
        while writer.poll() is None:
            found = hot.subjects()
            (count,) = {one.windows for one in found}  # a write is seen as a whole
            assert len(found) == 40 and count >= reached
            reached = count
            assert len(hot.answers("S07")) >= reached
            hot.watch("S01")  # a page writes, too
        assert writer.wait() == 0
    assert [one.windows for one in hot.subjects()] == [100] * 40
    assert len(hot.answers("S07")) == 100
    hot.close()
