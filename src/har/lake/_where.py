"""Conditions on partitions and keys, as polars expressions and as SQL for the Delta engine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable

import polars as pl

from har.schema import Partition


def newest_day(dates: Collection[dt.date]) -> dt.date:
    """The newest of some days; days in the future (wrong device clock) count only if there are no others."""
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    return max([date for date in dates if date <= tomorrow] or dates)


def either(partitions: Iterable[Partition]) -> pl.Expr:
    """Rows of one of the partitions."""
    by_date = _by_date(partitions)
    if not by_date:
        return pl.lit(False)
    return pl.any_horizontal(*((pl.col("date") == date) & _one_of(subjects) for date, subjects in by_date.items()))


def sql(partitions: Iterable[Partition], prefix: str = "") -> str:
    """Rows of one of the partitions, as SQL; `prefix` names the table, as in `t.`."""
    terms = []
    for date, subjects in _by_date(partitions).items():
        names = ", ".join("'" + subject.replace("'", "''") + "'" for subject in subjects if subject)
        if names:
            terms.append(f"({prefix}date = '{date.isoformat()}' AND {prefix}subject IN ({names}))")
        if not all(subjects):
            nobody = f"({prefix}subject IS NULL OR {prefix}subject = '')"
            terms.append(f"({prefix}date = '{date.isoformat()}' AND {nobody})")
    return " OR ".join(terms)


def in_order(partitions: Iterable[Partition]) -> list[Partition]:
    """Partitions by date and subject, each once; those without a subject first."""
    return sorted(set(partitions), key=lambda partition: (partition[0], partition[1] or ""))


def partitions_of(frame: pl.DataFrame) -> list[Partition]:
    """The partitions that have rows in `frame`."""
    return frame.select("date", "subject").unique().rows()


def ordered(frame: pl.DataFrame, key: Iterable[str]) -> list[str]:
    """The columns of the key by whose range files without a match can be skipped."""
    return [name for name in key if frame.schema[name].is_temporal()]


def ranges(frame: pl.DataFrame, key: Iterable[str]) -> pl.Expr:
    """Rows within the range of the `ordered` columns of `frame`."""
    ranges = (pl.col(name).is_between(frame[name].min(), frame[name].max()) for name in ordered(frame, key))
    return pl.all_horizontal(pl.lit(True), *ranges)


def _one_of(subjects: list[str]) -> pl.Expr:
    named = pl.col("subject").is_in([subject for subject in subjects if subject])
    return named if all(subjects) else named | (pl.col("subject").fill_null("") == "")


def _by_date(partitions: Iterable[Partition]) -> dict[dt.date, list[str]]:
    grouped: dict[dt.date, list[str]] = {}
    for date, subject in in_order(partitions):
        grouped.setdefault(date, []).append(subject)
    return grouped
