"""The hot store in a SQLite file, which other processes read while a consumer writes."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from har.errors import StateError, reason
from har.streaming.state._packed import (
    newest_start,
    pack_answer,
    pack_mapping,
    pack_signal,
    pack_state,
    unpack_answer,
    unpack_mapping,
    unpack_signal,
    unpack_state,
)
from har.streaming.state._state import REMEMBERED, WATCHED_US, Answer, Signal, SubjectState, now_us

_LAYOUT = 1
_TABLES = """
CREATE TABLE subjects (name TEXT PRIMARY KEY, seen_us INTEGER NOT NULL, state BLOB, baseline BLOB) WITHOUT ROWID;
CREATE INDEX subjects_seen ON subjects (seen_us);
CREATE TABLE answers (subject TEXT, start_us INTEGER, answer BLOB NOT NULL, PRIMARY KEY (subject, start_us))
    WITHOUT ROWID;
CREATE TABLE signals (subject TEXT PRIMARY KEY, signal BLOB NOT NULL);
CREATE TABLE watched (subject TEXT PRIMARY KEY, until_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE reports (name TEXT PRIMARY KEY, report BLOB NOT NULL);
"""
_STATE = """
INSERT INTO subjects (name, seen_us, state, baseline) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE
SET seen_us = excluded.seen_us, state = excluded.state, baseline = coalesce(excluded.baseline, baseline)
"""
_BASELINE = """
INSERT INTO subjects (name, seen_us, state, baseline) VALUES (?, ?, NULL, ?)
ON CONFLICT (name) DO UPDATE SET baseline = excluded.baseline
"""
_STEP_SUBJECTS = 20
_STEP_US = 1_000_000
_BUSY_S = 10


class SqliteHotStore:
    """`HotStore` in a file; a WAL, so that readers and the writer do not wait for each other.

    What the file holds can be rebuilt from the lake, so a commit waits for no disk (`synchronous=NORMAL`): after a loss
    of power the last commits may be gone, and the file is whole. A file that was deleted is made again.

    Args:
        path: of the file; its folder is made.
        keep_us: a subject that sent nothing for this long is forgotten, and answers older than its last one by this.
        clock: the present, in µs since 1970, UTC.
        read_only: make and change no file, not even for reading; for a folder that cannot be written to.
    """

    def __init__(self, path: Path, keep_us: int, clock: Callable[[], int] = now_us, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._keep_us = keep_us
        self._clock = clock
        self._lock = threading.Lock()
        self._file: sqlite3.Connection | None = None
        self._inode = 0
        self._expired_us = 0
        self._trimmed: dict[str, int] = {}

    def write(self, states: Sequence[SubjectState], answers: Mapping[str, Sequence[Answer]]) -> None:
        """See `HotStore`."""
        rows = [
            (state.subject, state.seen_us, pack_state(state), pack_mapping(state.baseline) if state.baseline else None)
            for state in states
        ]
        new = [(name, answer.start_us, pack_answer(answer)) for name, given in answers.items() for answer in given]
        with self._writing() as file:
            file.executemany(_STATE, rows)
            file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", new)
            self._trim(file, {state.subject: newest_start(state, answers.get(state.subject, ())) for state in states})
            self._expire(file)

    def write_baselines(self, baselines: Mapping[str, Mapping[str, float]]) -> None:
        """See `HotStore`."""
        now = self._clock()
        with self._writing() as file:
            file.executemany(_BASELINE, [(name, now, pack_mapping(values)) for name, values in baselines.items()])

    def subjects(self) -> list[SubjectState]:
        """See `HotStore`."""
        with self._reading() as file:
            rows = file.execute(
                "SELECT state, baseline FROM subjects WHERE seen_us >= ? AND state IS NOT NULL ORDER BY name",
                (self._clock() - self._keep_us,),
            ).fetchall()
        return [unpack_state(*row) for row in rows]

    def subject(self, name: str) -> SubjectState | None:
        """See `HotStore`."""
        with self._reading() as file:
            row = file.execute(
                "SELECT state, baseline FROM subjects WHERE name = ? AND seen_us >= ? AND state IS NOT NULL",
                (name, self._clock() - self._keep_us),
            ).fetchone()
        return unpack_state(*row) if row else None

    def answers(self, name: str, *, since_us: int = 0) -> list[Answer]:
        """See `HotStore`."""
        with self._reading() as file:
            rows = file.execute(
                "SELECT answer FROM answers WHERE subject = ? AND start_us > ? ORDER BY start_us", (name, since_us)
            ).fetchall()
        return [unpack_answer(content) for (content,) in rows]

    def watch(self, name: str) -> None:
        """See `HotStore`."""
        now = self._clock()
        with self._reading() as file:
            row = file.execute("SELECT until_us FROM watched WHERE subject = ?", (name,)).fetchone()
        if row and row[0] > now + WATCHED_US // 2:
            return  # many pages may show a subject, and each write would make the consumer wait
        with self._writing() as file:
            file.execute("DELETE FROM watched WHERE until_us < ?", (now,))
            file.execute("INSERT OR REPLACE INTO watched VALUES (?, ?)", (name, now + WATCHED_US))

    def watched(self) -> set[str]:
        """See `HotStore`."""
        with self._reading() as file:
            return {
                name for (name,) in file.execute("SELECT subject FROM watched WHERE until_us >= ?", (self._clock(),))
            }

    def write_signal(self, name: str, signal: Signal) -> None:
        """See `HotStore`."""
        with self._writing() as file:
            file.execute("INSERT OR REPLACE INTO signals VALUES (?, ?)", (name, pack_signal(signal)))

    def signal(self, name: str) -> Signal | None:
        """See `HotStore`."""
        with self._reading() as file:
            row = file.execute("SELECT signal FROM signals WHERE subject = ?", (name,)).fetchone()
        return unpack_signal(row[0]) if row else None

    def write_ledger(self, ledger: Mapping[str, Any]) -> None:
        """See `HotStore`."""
        with self._writing() as file:
            file.execute("INSERT OR REPLACE INTO reports VALUES ('ledger', ?)", (pack_mapping(ledger),))

    def ledger(self) -> Mapping[str, Any]:
        """See `HotStore`."""
        with self._reading() as file:
            row = file.execute("SELECT report FROM reports WHERE name = 'ledger'").fetchone()
        return unpack_mapping(row[0]) if row else {}

    def clear(self) -> None:
        """See `HotStore`."""
        try:
            with self._writing() as file:
                for table in ("subjects", "answers", "signals", "watched", "reports"):
                    file.execute(f"DELETE FROM {table}")  # noqa: S608  of the line above
            self._trimmed.clear()
        except StateError:
            self._remove()

    def _remove(self) -> None:
        """Delete a file that cannot be read; processes that have it open make it again, see `_connected`."""
        with self._lock, self._errors():
            self._disconnect()
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._connected()

    def close(self) -> None:
        """See `HotStore`."""
        with self._lock:
            self._disconnect()

    def _trim(self, file: sqlite3.Connection, newest: Mapping[str, int]) -> None:
        """Delete old answers of a few of the subjects: each about every hundredth part of the time they are kept."""
        if len(self._trimmed) > REMEMBERED:
            self._trimmed.clear()
        due = [name for name, start in newest.items() if start - self._trimmed.get(name, 0) > self._keep_us // 100]
        for name in due[:_STEP_SUBJECTS]:
            file.execute("DELETE FROM answers WHERE subject = ? AND start_us < ?", (name, newest[name] - self._keep_us))
            self._trimmed[name] = newest[name]

    def _expire(self, file: sqlite3.Connection) -> None:
        """Forget a few of the subjects that sent nothing for long; at most once per second."""
        now = self._clock()
        if abs(now - self._expired_us) < _STEP_US:
            return
        self._expired_us = now
        gone = file.execute(
            "SELECT name FROM subjects WHERE seen_us < ? ORDER BY seen_us LIMIT ?",
            (now - self._keep_us, _STEP_SUBJECTS),
        ).fetchall()
        file.executemany("DELETE FROM subjects WHERE name = ?", gone)
        file.executemany("DELETE FROM answers WHERE subject = ?", gone)
        file.executemany("DELETE FROM signals WHERE subject = ?", gone)
        for (name,) in gone:
            self._trimmed.pop(name, None)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            yield self._connected()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            file = self._connected()
            file.execute("BEGIN IMMEDIATE")
            try:
                yield file
                file.execute("COMMIT")
            except BaseException:
                if file.in_transaction:
                    file.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except StateError:
            raise
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
            remedy = "It is damaged: run `har stream rebuild`, which makes it from the lake." if damaged else ""
            raise StateError(
                where=str(self._path),
                expected="the hot store, a SQLite file that this process may write",
                got=reason(error),
                remedy=remedy or "Free space on its disk and check who may write its folder, `paths.stream`.",
            ) from error

    def _connected(self) -> sqlite3.Connection:
        if self._file is not None:
            with contextlib.suppress(FileNotFoundError):
                if self._path.stat().st_ino == self._inode:
                    return self._file
            self._disconnect()
        if self._read_only:
            self._file, self._inode = open_read_only(self._path), self._path.stat().st_ino
            return self._file
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(file, self._path)
        except BaseException:
            file.close()
            raise
        self._file, self._inode = file, self._path.stat().st_ino
        return file

    def _disconnect(self) -> None:
        if self._file is not None:
            with contextlib.suppress(sqlite3.Error):
                self._file.close()
            self._file = None


def open_read_only(path: Path) -> sqlite3.Connection:
    """A SQLite file that others may be writing to; no file is made beside it.

    Without a WAL nobody has the file open, and it can be taken as unchanging: with `mode=ro`, SQLite would make a WAL.

    Raises:
        sqlite3.Error: there is no such file, or it cannot be read.
    """
    how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    address = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)


def _prepare(file: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file."""
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = NORMAL")
    if _layout(file) == _LAYOUT:
        return
    file.execute("BEGIN IMMEDIATE")
    try:
        found = _layout(file)  # another process may have been faster
        if found not in (0, _LAYOUT):
            raise StateError(
                where=str(path),
                expected=f"a hot store of layout {_LAYOUT}",
                got=f"layout {found}, of another release",
                remedy="Stop the processes of the other release, then run `har stream rebuild`.",
            )
        if found == 0:
            for statement in filter(str.strip, _TABLES.split(";")):
                file.execute(statement)
            file.execute(f"PRAGMA user_version = {_LAYOUT}")
        file.execute("COMMIT")
    except BaseException:
        if file.in_transaction:
            file.execute("ROLLBACK")
        raise


def _layout(file: sqlite3.Connection) -> int:
    return int(file.execute("PRAGMA user_version").fetchone()[0])
