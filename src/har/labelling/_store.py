"""The SQLite file in which tasks and answers meet: written by jobs and by every replica of the online service.

It lies beside the prediction log, in `paths.journal`, because whatever reads the log for the lake shares that folder
with every replica. The file has a rollback journal, not a write-ahead log: that one needs memory which machines that
share a volume do not share. Every change is one transaction that is on disk when its function returns.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from har.errors import RequestError, StorageError
from har.labelling._answers import Answer, Given, Settled
from har.labelling._tasks import Progress, Task, in_order, may_answer, still_needed
from har.log_lines import COMES_WITH

_FILE = "label-page.db"
_CLAIM_US = 10 * 60 * 1_000_000
"""Nobody else gets a task for this long after it was shown to somebody."""
_HOUR_US = 3_600_000_000
_WAIT_S = 10.0
_SIGNAL_US = 7 * 24 * _HOUR_US
"""So long after its last answer, the signal of a task that is not asked for any more is kept for an undo."""
_NO_SIGNAL = b'{"channels":[],"detail":{}}'
_RECENT = 20
"""Answers that can be taken back one after the other."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    task TEXT PRIMARY KEY, subject TEXT NOT NULL, session TEXT NOT NULL, date TEXT NOT NULL,
    start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, rank INTEGER NOT NULL, reason TEXT NOT NULL,
    guesses TEXT NOT NULL, model_version INTEGER, place TEXT NOT NULL,
    from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, signal BLOB NOT NULL, people INTEGER NOT NULL,
    open INTEGER NOT NULL DEFAULT 1, version INTEGER NOT NULL DEFAULT 0, collected INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS answers (
    answer TEXT PRIMARY KEY, task TEXT NOT NULL REFERENCES tasks, labeller TEXT NOT NULL, verdict TEXT NOT NULL,
    activity TEXT, start_us INTEGER, end_us INTEGER, source TEXT NOT NULL,
    answered_us INTEGER NOT NULL, undone_us INTEGER
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_answer_each ON answers (task, labeller) WHERE undone_us IS NULL;
CREATE INDEX IF NOT EXISTS answers_by_time ON answers (labeller, answered_us);
CREATE TABLE IF NOT EXISTS claims (
    task TEXT NOT NULL, labeller TEXT NOT NULL, until_us INTEGER NOT NULL, PRIMARY KEY (task, labeller)
) STRICT;
CREATE TABLE IF NOT EXISTS skips (
    task TEXT NOT NULL, labeller TEXT NOT NULL, times INTEGER NOT NULL, PRIMARY KEY (task, labeller)
) STRICT;
"""
_TASK = tuple(field.name for field in fields(Task))
_ANSWER = tuple(field.name for field in fields(Answer))
_TASKS = f"SELECT {', '.join(_TASK)} FROM tasks"  # noqa: S608  the names of columns, here and below
_ANSWERS = f"SELECT {', '.join(_ANSWER)} FROM answers"  # noqa: S608
_PUT_ANSWER = f"INSERT INTO answers ({', '.join(_ANSWER)}) VALUES ({', '.join('?' * len(_ANSWER))})"  # noqa: S608
_PUT_TASK = (
    f"INSERT INTO tasks ({', '.join(_TASK)}) VALUES ({', '.join('?' * len(_TASK))}) "  # noqa: S608
    f"ON CONFLICT (task) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _TASK[1:])}, open = 1"
)


def store_path(journal: Path) -> Path:
    """The file beside the prediction log in this folder, `paths.journal`."""
    return journal / _FILE


class Store:
    """Tasks and answers; each method is one transaction, of any thread or process.

    Args:
        path: of the file; `put` makes it, all others take a file that is not there for an empty one.
        clock: microseconds since 1970.
    """

    def __init__(self, path: Path, *, clock: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self.path, self._clock = path, clock

    def put(self, tasks: Sequence[Task]) -> int:
        """Let exactly these tasks be open. Others close; those that nobody answered, or is shown now, are forgotten.

        Returns:
            How many of them are new.
        """
        rows = [self._row(task) for task in tasks]
        with self._change(make=True) as db:
            before = {task for (task,) in db.execute("SELECT task FROM tasks")}
            db.execute("UPDATE tasks SET open = 0")
            db.executemany(_PUT_TASK, rows)
            db.execute("DELETE FROM claims WHERE until_us < ?", (self._clock(),))
            db.execute(
                "DELETE FROM tasks WHERE open = 0 AND task NOT IN (SELECT task FROM answers) "
                "AND task NOT IN (SELECT task FROM claims)"
            )
            db.execute(
                "UPDATE tasks SET signal = ? WHERE open = 0 AND task NOT IN "
                "(SELECT task FROM answers WHERE answered_us > ?)",
                (_NO_SIGNAL, self._clock() - _SIGNAL_US),
            )
            db.execute("DELETE FROM skips WHERE task NOT IN (SELECT task FROM tasks WHERE open = 1)")
            return sum(task.task not in before for task in tasks)

    def next(self, labeller: str) -> Task | None:
        """The next task of this labeller, which nobody else gets for ten minutes; None: there is none.

        A task that was shown and neither answered nor skipped is shown again.
        """
        with self._change() as db:
            now = self._clock()
            people, answers = self._open(db), self._given(db)
            ranks = dict(db.execute("SELECT task, rank FROM tasks WHERE open = 1"))
            skips = dict(db.execute("SELECT task, times FROM skips WHERE labeller = ?", (labeller,)))
            claims: dict[str, list[str]] = {}
            for task, who in db.execute("SELECT task, labeller FROM claims WHERE until_us > ?", (now,)):
                claims.setdefault(task, []).append(who)
            for task in in_order(ranks, skips):
                if may_answer(labeller, people[task], answers.get(task, ()), claims.get(task, ())):
                    self._claim(db, task, labeller, now)
                    return self._task(db, task)
        return None

    def skip(self, labeller: str, task: str) -> None:
        """Show other tasks first to this labeller, and let others have this one.

        Raises:
            RequestError: there is no such task.
        """
        with self._change() as db:
            self._require(db, task)
            db.execute(
                "INSERT INTO skips VALUES (?, ?, 1) ON CONFLICT (task, labeller) DO UPDATE SET times = times + 1",
                (task, labeller),
            )
            db.execute("DELETE FROM claims WHERE task = ? AND labeller = ?", (task, labeller))

    def answer(self, given: Given) -> Answer:
        """Store an answer; one whose id is there already is returned as it is.

        Raises:
            RequestError: there is no such task, it needs no answer of this labeller, or its window does not overlap
                the answer's interval.
        """
        with self._change() as db:
            known = self._answer(db, given.answer)
            if known is not None:
                if known.task != given.task or known.labeller != given.labeller:
                    raise _conflict("answer", "an id that no other answer has", given.answer, "Reload the page.")
                return known
            task = self._require(db, given.task)
            answers = self._given(db, given.task).get(given.task, [])
            if any(answer.labeller == given.labeller for answer in answers):
                raise _conflict("task", f"one that {given.labeller} did not answer", given.task, "Undo the answer.")
            if not may_answer(given.labeller, task.people, answers):
                raise _conflict("task", "one that needs an answer", f"{given.task}, which has them", "Take the next.")
            self._require_interval(task, given)
            stored = Answer(**vars(given), answered_us=self._clock())
            db.execute(_PUT_ANSWER, astuple(stored))
            db.execute("DELETE FROM claims WHERE task = ? AND labeller = ?", (given.task, given.labeller))
            db.execute("UPDATE tasks SET version = version + 1 WHERE task = ?", (given.task,))
            return stored

    def undo(self, labeller: str, answer: str, source: str) -> Task:
        """Take an answer back, and return its task, which is shown to this labeller again; once or more often.

        Raises:
            RequestError: this labeller, with this token, gave no such answer, or has answered the task anew.
        """
        with self._change() as db:
            known = self._answer(db, answer)
            if known is None or known.labeller != labeller:
                raise _conflict("answer", f"one of {labeller}", answer, "Reload the page.", status=404)
            if _token(known.source) != _token(source):
                raise _conflict("Authorization", "the token that the answer came with", "another", "", status=403)
            anew = [one for one in self._given(db, known.task).get(known.task, ()) if one.labeller == labeller]
            if known.undone_us is not None and anew:
                raise _conflict("answer", "one that counts", f"{answer}, which was answered anew", "Undo that one.")
            if known.undone_us is None:
                db.execute("UPDATE answers SET undone_us = ? WHERE answer = ?", (self._clock(), answer))
                db.execute("UPDATE tasks SET version = version + 1 WHERE task = ?", (known.task,))
            self._claim(db, known.task, labeller, self._clock())
            return self._task(db, known.task)

    def recent(self, labeller: str) -> list[Answer]:
        """A labeller's last answers that count, the newest first."""
        newest = "WHERE labeller = ? AND undone_us IS NULL ORDER BY answered_us DESC, rowid DESC LIMIT ?"
        return self._read(f"{_ANSWERS} {newest}", (labeller, _RECENT), lambda *row: Answer(*row))

    def answers(self) -> list[Answer]:
        """All answers that count, in the order in which they were given."""
        return self._read(
            f"{_ANSWERS} WHERE undone_us IS NULL ORDER BY answered_us, rowid", (), lambda *row: Answer(*row)
        )

    def tasks(self) -> list[Task]:
        """All tasks that are open or were answered, by rank."""
        return self._read(f"{_TASKS} ORDER BY open DESC, rank, task", (), lambda *row: self._made(row))

    def progress(self, labeller: str) -> Progress:
        """How far everybody is, and this labeller."""
        if not self.path.exists():
            return Progress(0, 0, 0, 0, None)
        with self._change() as db:
            people, answers = self._open(db), self._given(db)
            now = self._clock()
            times = [
                time_us
                for (time_us,) in db.execute(
                    "SELECT answered_us FROM answers WHERE labeller = ? AND undone_us IS NULL AND answered_us > ? "
                    "ORDER BY answered_us",
                    (labeller, now - _HOUR_US),
                )
            ]
        needed = {task: still_needed(count, answers.get(task, ())) for task, count in people.items()}
        yours = sum(may_answer(labeller, count, answers.get(task, ())) for task, count in people.items())
        own = sum(any(one.labeller == labeller for one in answers.get(task, ())) for task in people)
        took = times[-1] - times[0] if len(times) > 1 else 0
        done = sum(not count for count in needed.values())
        rate = (len(times) - 1) * _HOUR_US / took if took else None
        return Progress(done, len(needed) - done, yours, own, rate)

    def uncollected(self) -> list[Settled]:
        """The tasks whose answers the lake does not have as they are now."""
        if not self.path.exists():
            return []
        with self._change() as db:
            rows = db.execute("SELECT task, subject, version FROM tasks WHERE version > collected ORDER BY task")
            return [
                Settled(
                    task,
                    subject,
                    version,
                    tuple(
                        Answer(*row)
                        for row in db.execute(f"{_ANSWERS} WHERE task = ? ORDER BY answered_us, rowid", (task,))
                    ),
                )
                for task, subject, version in rows.fetchall()
            ]

    def mark_collected(self, settled: Iterable[Settled]) -> None:
        """Note that the lake has these tasks' answers; what was answered since is still uncollected."""
        rows = [(one.version, one.task) for one in settled]
        if rows:
            with self._change() as db:
                db.executemany("UPDATE tasks SET collected = max(collected, ?) WHERE task = ?", rows)

    @contextmanager
    def _change(self, *, make: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction that sees what no other one changes meanwhile."""
        try:
            if make:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            elif not self.path.exists():
                raise RequestError(
                    where="tasks",
                    expected="tasks that were prepared",
                    got="none",
                    remedy="Prepare them: har labels --prepare.",
                    status=404,
                )
            db = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
            try:
                db.execute("PRAGMA synchronous = FULL")
                if make:
                    db.executescript(_SCHEMA)
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                except BaseException:
                    db.execute("ROLLBACK")
                    raise
                db.execute("COMMIT")
            finally:
                db.close()
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                where=str(self.path),
                expected="a file that can be read and written",
                got=str(error),
                remedy="Free space, or grant access; nothing was half-stored.",
            ) from error

    def _read(self, query: str, values: Sequence[object], make: Callable[..., Any]) -> list[Any]:
        if not self.path.exists():
            return []
        with self._change() as db:
            return [make(*row) for row in db.execute(query, values)]

    def _open(self, db: sqlite3.Connection) -> dict[str, int]:
        return dict(db.execute("SELECT task, people FROM tasks WHERE open = 1"))

    def _given(self, db: sqlite3.Connection, task: str | None = None) -> dict[str, list[Answer]]:
        """The answers that count, of the open tasks or of one, by task."""
        which = "task IN (SELECT task FROM tasks WHERE open = 1)" if task is None else "task = ?"
        rows = db.execute(f"{_ANSWERS} WHERE undone_us IS NULL AND {which}", () if task is None else (task,))
        found: dict[str, list[Answer]] = {}
        for row in rows:
            answer = Answer(*row)
            found.setdefault(answer.task, []).append(answer)
        return found

    def _answer(self, db: sqlite3.Connection, answer: str) -> Answer | None:
        row = db.execute(f"{_ANSWERS} WHERE answer = ?", (answer,)).fetchone()
        return None if row is None else Answer(*row)

    def _task(self, db: sqlite3.Connection, task: str) -> Task:
        row = db.execute(f"{_TASKS} WHERE task = ?", (task,)).fetchone()
        return self._made(row)

    def _require(self, db: sqlite3.Connection, task: str) -> Task:
        if db.execute("SELECT 1 FROM tasks WHERE task = ?", (task,)).fetchone() is None:
            raise _conflict("task", "one that is asked for", task, "Take the next.", status=404)
        return self._task(db, task)

    def _claim(self, db: sqlite3.Connection, task: str, labeller: str, now: int) -> None:
        db.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", (task, labeller, now + _CLAIM_US))

    @staticmethod
    def _row(task: Task) -> tuple[object, ...]:
        return tuple(
            json.dumps(value) if name == "guesses" else value for name, value in zip(_TASK, astuple(task), strict=True)
        )

    @staticmethod
    def _made(row: Sequence[Any]) -> Task:
        values = dict(zip(_TASK, row, strict=True))
        guesses = tuple((str(name), float(value)) for name, value in json.loads(values["guesses"]))
        return Task(**{**values, "guesses": guesses})

    @staticmethod
    def _require_interval(task: Task, given: Given) -> None:
        if given.start_us is None or given.end_us is None:
            return
        within = task.from_us <= given.start_us < given.end_us <= task.to_us
        if not within or given.start_us >= task.end_us or given.end_us <= task.start_us:
            raise RequestError(
                where="start_us, end_us",
                expected="an interval of the shown signal that overlaps the asked window",
                got=f"{(given.start_us - task.start_us) / 1e6:g} to {(given.end_us - task.start_us) / 1e6:g} s of it",
                remedy="Drag the range over the marked window.",
            )


def _token(source: str) -> str:
    return source.partition(COMES_WITH)[2]


def _conflict(where: str, expected: str, got: str, remedy: str, *, status: int = 409) -> RequestError:
    return RequestError(where=where, expected=expected, got=got, remedy=remedy, status=status)
