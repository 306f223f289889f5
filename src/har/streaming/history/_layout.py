"""The schema `har` in Postgres, made in numbered steps, each once."""

from __future__ import annotations

import datetime as dt
from typing import Any

from psycopg import Connection, sql

STEPS: tuple[str, ...] = (
    """
    CREATE TABLE har.predictions (
        subject text NOT NULL,
        session text NOT NULL,
        start timestamptz NOT NULL,
        ended timestamptz NOT NULL,
        activity text NOT NULL,
        confidence real NOT NULL,
        abstained boolean NOT NULL,
        unknown boolean NOT NULL,
        smoothed text NOT NULL,
        model_version integer NOT NULL,
        PRIMARY KEY (subject, session, start)
    ) PARTITION BY RANGE (start);
    CREATE INDEX predictions_start ON har.predictions USING brin (start) WITH (pages_per_range = 32);
    COMMENT ON TABLE har.predictions IS 'One row per window that the stream answered, partitioned by day (UTC)';
    """,
    """
    CREATE VIEW har.minutes AS
    SELECT subject, date_bin('1 hour', start, timestamptz '2000-01-01 00:00+00') AS hour, activity,
           sum(seconds) / 60 AS minutes, count(*) AS windows
    FROM (
        SELECT subject, start, CASE WHEN abstained THEN 'uncertain' ELSE activity END AS activity,
               extract(epoch FROM least(
                   lead(start) OVER (PARTITION BY subject, session ORDER BY start), ended) - start) AS seconds
        FROM har.predictions
    ) AS counted
    GROUP BY 1, 2, 3;
    COMMENT ON VIEW har.minutes IS 'Minutes per subject, hour and activity; windows that overlap are not counted twice';
    """,
)
"""Never changed, only added to."""

_LOCK = 7_305_421_990
"""Of `pg_advisory_xact_lock`: one process at a time changes the layout."""
_ONE_DAY = dt.timedelta(days=1)


def migrate(database: Connection[Any]) -> None:
    """Make the layout, or what a new release added to it; a layout of a newer release stays as it is."""
    with database.transaction():
        lock(database)
        database.execute("CREATE SCHEMA IF NOT EXISTS har")
        database.execute("CREATE TABLE IF NOT EXISTS har.migrations (step integer PRIMARY KEY, made timestamptz)")
        row = database.execute("SELECT coalesce(max(step), 0) FROM har.migrations").fetchone()
        done = row[0] if row else 0
        for number, step in enumerate(STEPS, 1):
            if number > done:
                database.execute(step)
                database.execute("INSERT INTO har.migrations VALUES (%s, now())", (number,))


def lock(database: Connection[Any]) -> None:
    """Let other processes wait with changes of the layout until this transaction ends."""
    database.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def partitions(database: Connection[Any]) -> set[dt.date]:
    """The days that have one."""
    rows = database.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'har.predictions'::regclass"
    ).fetchall()
    return {dt.datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=dt.UTC).date() for (name,) in rows}


def add_partition(database: Connection[Any], day: dt.date) -> None:
    """Make the partition of a day, if there is none."""
    database.execute(
        sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF har.predictions FOR VALUES FROM ({}) TO ({})").format(
            _name(day), sql.Literal(_midnight(day)), sql.Literal(_midnight(day + _ONE_DAY))
        )
    )


def drop_partition(database: Connection[Any], day: dt.date) -> None:
    """Drop the partition of a day with its rows."""
    database.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_name(day)))


def _name(day: dt.date) -> sql.Identifier:
    return sql.Identifier("har", f"predictions_{day:%Y%m%d}")


def _midnight(day: dt.date) -> str:
    return f"{day.isoformat()} 00:00:00+00"
