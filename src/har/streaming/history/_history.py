"""Write answers into the history, and look after its partitions."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from har.errors import SettingsError, StateError, reason
from har.settings import Settings
from har.streaming._passwords import read_password
from har.streaming.state import Answer

if TYPE_CHECKING:
    from psycopg import Connection

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_AHEAD = 3
"""Partitions of so many days to come are made, so that dashboards and other writers find them."""
_EVERY = dt.timedelta(hours=1)
_COLUMNS = "subject, session, start, ended, activity, confidence, abstained, unknown, smoothed, model_version"
_STAGE = "CREATE TEMPORARY TABLE IF NOT EXISTS stage (LIKE har.predictions) ON COMMIT DELETE ROWS"
_MOVE = f"""
INSERT INTO har.predictions ({_COLUMNS})
SELECT DISTINCT ON (subject, session, start) {_COLUMNS} FROM stage
ORDER BY subject, session, start, (smoothed <> '') DESC
ON CONFLICT (subject, session, start) DO NOTHING
"""  # noqa: S608  of the line above
_SMOOTH = """
UPDATE har.predictions AS stored SET smoothed = stage.smoothed FROM stage
WHERE stage.smoothed <> '' AND stored.smoothed = ''
AND (stored.subject, stored.session, stored.start) = (stage.subject, stage.session, stage.start)
"""
"""Smoothing speaks later than the model; nothing else may change a row."""


class HistoryRow(NamedTuple):
    """An answer for the history; `session` is that of the lake."""

    subject: str
    session: str
    answer: Answer


@dataclass(frozen=True)
class Written:
    """What became of a batch: rows that are new, that got their smoothed activity, and that were left out.

    Left out are windows older than `stream.history.keep_days`, and those of a clock that is days ahead. They are in the
    lake.
    """

    new: int = 0
    smoothed: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class HistoryState:
    """What the history holds: days with a partition, rows as Postgres estimates them, bytes, the newest window."""

    first: dt.date | None
    last: dt.date | None
    days: int
    rows: int
    size_bytes: int
    newest: dt.datetime | None


class History:
    """The history of a project: a database of its own, in which it makes the schema `har`.

    Nothing is reached before the first use, and each use after an error connects anew.

    Args:
        address: postgresql://user@host:port/database.
        password: "" leaves it to the address, PGPASSWORD or ~/.pgpass.
        keep_days: older partitions are dropped.
        clock: the present.

    Raises:
        SettingsError: psycopg is not installed.
    """

    def __init__(
        self, address: str, password: str, keep_days: int, clock: Callable[[], dt.datetime] | None = None
    ) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise SettingsError(
                where="stream.history.address",
                expected="psycopg, the client of Postgres",
                got=reason(error),
                remedy="Run `pip install 'har-mlops[stream]'`, or leave the address empty.",
            ) from error
        self._errors = psycopg.Error
        self._connect = psycopg.connect
        self._address = address
        self._password = password
        self._keep = dt.timedelta(days=keep_days)
        self._clock = clock or (lambda: dt.datetime.now(dt.UTC))
        self._database: Connection[Any] | None = None
        self._looked_after: dt.datetime | None = None

    def write(self, rows: Sequence[HistoryRow]) -> Written:
        """Add rows in one transaction; a row that is there already changes nothing.

        Raises:
            StateError: the database is away; the caller keeps the rows and tries again.
        """
        self.look_after()
        first, last = self._kept()
        wanted = [row for row in rows if first <= _time(row.answer.start_us).date() <= last]
        left_out = len(rows) - len(wanted)
        if not wanted:
            return Written(left_out=left_out)
        days = {_time(row.answer.start_us).date() for row in wanted}
        with self._using() as database, database.transaction():
            self._add_partitions(database, days)
            database.execute(_STAGE)
            with database.cursor().copy(f"COPY stage ({_COLUMNS}) FROM STDIN") as copy:
                for row in wanted:
                    copy.write_row(_values(row))
            new = database.execute(_MOVE).rowcount
            smoothed = database.execute(_SMOOTH).rowcount if any(row.answer.smoothed for row in wanted) else 0
        return Written(new, smoothed, left_out)

    def look_after(self, *, now: bool = False) -> list[dt.date]:
        """Make the layout and the partitions of the next days, and drop old ones; once per hour unless `now`.

        Returns:
            The days that were dropped.

        Raises:
            StateError: the database is away.
        """
        from har.streaming.history._layout import drop_partition, lock, migrate, partitions

        present = self._clock()
        if not now and self._looked_after is not None and present - self._looked_after < _EVERY:
            return []
        today = present.date()
        with self._using() as database:
            migrate(database)
            with database.transaction():
                self._add_partitions(database, {today + dt.timedelta(days=ahead) for ahead in range(_AHEAD + 1)})
            with database.transaction():
                lock(database)
                old = sorted(day for day in partitions(database) if day < self._kept()[0])
                # A dashboard that reads for long must not make the stream wait: the next hour tries again.
                database.execute("SET LOCAL lock_timeout = '2s'")
                for day in old:
                    drop_partition(database, day)
        self._looked_after = present
        return old

    def state(self) -> HistoryState:
        """What it holds.

        Raises:
            StateError: the database is away.
        """
        from har.streaming.history._layout import migrate, partitions

        with self._using() as database:
            migrate(database)
            days = partitions(database)
            row = database.execute(
                "SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint, "
                "coalesce(sum(pg_total_relation_size(oid)), 0)::bigint "
                "FROM pg_class JOIN pg_inherits ON oid = inhrelid WHERE inhparent = 'har.predictions'::regclass"
            ).fetchone()
            newest = database.execute("SELECT max(start) FROM har.predictions").fetchone()
        rows, size = row or (0, 0)
        return HistoryState(
            first=min(days, default=None),
            last=max(days, default=None),
            days=len(days),
            rows=rows,
            size_bytes=size,
            newest=newest[0] if newest else None,
        )

    def close(self) -> None:
        """End the connection."""
        if self._database is not None:
            with contextlib.suppress(self._errors):
                self._database.close()
            self._database = None

    def _kept(self) -> tuple[dt.date, dt.date]:
        today = self._clock().date()
        return today - self._keep, today + dt.timedelta(days=_AHEAD)

    def _add_partitions(self, database: Connection[Any], days: set[dt.date]) -> None:
        from har.streaming.history._layout import add_partition, lock, partitions

        missing = days - partitions(database)
        if missing:
            lock(database)
            for day in sorted(missing):
                add_partition(database, day)

    @contextlib.contextmanager
    def _using(self) -> Iterator[Connection[Any]]:
        try:
            if self._database is None or self._database.closed:
                self._database = self._connect(
                    self._address,
                    autocommit=True,
                    connect_timeout=3,
                    application_name="har stream",
                    password=self._password or None,
                )
            yield self._database
        except self._errors as error:
            self.close()
            raise StateError(
                where=f"stream.history.address = {self._address}",
                expected="the history, a Postgres database in which this user may create a schema",
                got=reason(error),
                remedy="Start the server, or `make stack`, and check the password; or leave the address empty.",
            ) from error


def open_history(settings: Settings) -> History | None:
    """The history that the settings name, None if they name none.

    Raises:
        SettingsError: psycopg is not installed, or the file of the password cannot be read.
    """
    history = settings.stream.history
    if not history.address:
        return None
    password = ""
    if history.password_file is not None:
        password = read_password(settings.root / history.password_file, "stream.history.password_file")
    return History(history.address, password, history.keep_days)


def _time(microseconds: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=microseconds)


def _values(row: HistoryRow) -> tuple[Any, ...]:
    answer = row.answer
    return (
        row.subject.replace("\0", ""),  # Postgres has no text with it
        row.session.replace("\0", ""),
        _time(answer.start_us),
        _time(answer.end_us),
        answer.activity,
        answer.confidence,
        answer.abstained,
        answer.unknown,
        answer.smoothed,
        answer.model_version,
    )
