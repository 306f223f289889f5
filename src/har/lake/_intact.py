"""Compare the tables with each other by the statistics in their logs: which rows are missing, what makes them again.

The counts that must agree: the samples of a subject-day with those of its files in `recordings`, its predictions of the
nightly job with its row in `scores`, its online predictions with its rows in `requests`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from time import sleep

import polars as pl

from har.errors import LakeDamageError
from har.lake._lake import Lake
from har.lake._table import Table
from har.lake._where import in_order
from har.schema import STREAMED, Partition

_LOOKS = 4
_PAUSE_S = 1.0


@dataclass(frozen=True)
class Loss:
    """Rows that are missing.

    Attributes:
        table: its name.
        partitions: the subject-days, sorted; empty: the whole table.
        problem: what is wrong with the first one.
        remedy: the way out.
    """

    table: str
    partitions: tuple[Partition, ...]
    problem: str
    remedy: str

    def __str__(self) -> str:
        if not self.partitions:
            return f"{self.table}: {self.problem}"
        date, subject = self.partitions[0]
        more = f", and {len(self.partitions) - 1} more subject-days" if len(self.partitions) > 1 else ""
        return f"{self.table}, {date}, subject {subject}: {self.problem}{more}"


def losses(lake: Lake) -> list[Loss]:
    """All that is missing, without reading data; tables whose log cannot be read are not compared with others."""
    found: list[Loss] = []
    readable = True
    for table in lake.tables:
        try:
            found += [loss for loss in (_commits(table), _files(table)) if loss]
        except LakeDamageError as error:
            found.append(Loss(table.name, (), f"expected {error.expected}, but got {error.got}", error.remedy))
            readable = False
    return [*found, *_disagreements(lake)] if readable else found


def _disagreements(lake: Lake) -> list[Loss]:
    counted = (
        _counts(lake.samples, _samples_too_few(lake), "samples", "`recordings`"),
        _counts(lake.predictions, _predictions_off(lake), "predictions", "`scores`"),
        _counts(lake.predictions, _online_off(lake), "online predictions", "`requests`"),
        _versions(lake),
    )
    return [loss for loss in counted if loss]


def to_load_again(lake: Lake, partitions: Collection[Partition] | None = None) -> frozenset[Partition]:
    """Subject-days whose samples, or some of them, are missing: their files are to be ingested once more.

    Args:
        lake: the tables.
        partitions: those to look at; None: all.
    """
    damaged = lake.samples.damaged(partitions)
    found = frozenset({*_samples_too_few(lake), *lake.samples.lost(), *damaged, *lake.recordings.lost()})
    return found if partitions is None else found.intersection(partitions)


def to_score_again(lake: Lake) -> frozenset[Partition]:
    """Subject-days whose predictions, or some of them, are missing, although they were scored."""
    tables = (lake.predictions, lake.scores, lake.profiles)
    gone = {partition for table in tables for partition in (*table.lost(), *table.damaged())}
    return frozenset({*_predictions_off(lake), *_scored_from_lost_versions(lake), *gone})


def require_samples(lake: Lake, partitions: Collection[Partition] | None = None) -> None:
    """Refuse to use subject-days whose samples are missing.

    Args:
        lake: the tables.
        partitions: the subject-days; None: all.

    Raises:
        LakeDamageError: names the first one, and how to load it again.
    """
    gone = _lasting(lambda: to_load_again(lake, partitions))
    if gone:
        (date, subject), *others = sorted(gone)
        recorded, found = _recorded(lake).get((date, subject), 0), lake.samples.counts().get((date, subject), 0)
        raise LakeDamageError(
            where=f"samples, {date}, subject {subject}",
            expected=f"the {recorded:,} samples that its files have, as they were written",
            got=f"{found:,} or damaged ones{f', and {len(others)} more such subject-days' if others else ''}",
            remedy="Load them again: `har ingest`. `har check` lists everything that is missing.",
        )


def require_predictions(lake: Lake) -> None:
    """Refuse to use predictions of which some are missing.

    Raises:
        LakeDamageError: names the first subject-day.
    """
    gone = _lasting(lambda: to_score_again(lake))
    if gone:
        (date, subject), *others = sorted(gone)
        raise LakeDamageError(
            where=f"predictions, {date}, subject {subject}",
            expected="the predictions that `scores` counts",
            got=f"fewer or damaged ones{f', and {len(others)} more such subject-days' if others else ''}",
            remedy="Make them again: `har score`. `har check` lists everything that is missing.",
        )


def _lasting(find: Callable[[], frozenset[Partition]]) -> frozenset[Partition]:
    """What is found at every look: another process may just be between its commits to two tables."""
    gone = find()
    for _ in range(_LOOKS - 1):
        if gone:
            sleep(_PAUSE_S)
            gone &= find()
    return gone


_KEY = ["date", "subject"]


def _recorded(lake: Lake) -> dict[Partition, int]:
    rows = lake.recordings.extract().group_by("date", "subject").agg(pl.col("samples").sum())
    return {(date, subject): samples for date, subject, samples in rows.iter_rows()}


def _samples_too_few(lake: Lake) -> dict[Partition, tuple[int, int]]:
    # More samples than recorded: a run was killed between its two commits; the next one reads its files again.
    recorded = lake.recordings.extract().group_by(*_KEY).agg(pl.col("samples").sum().alias("recorded"))
    both = recorded.join(lake.samples.counted(), on=_KEY, how="left").with_columns(pl.col("rows").fill_null(0))
    few = both.filter(pl.col("rows") < pl.col("recorded"))
    return {(date, subject): (found, count) for date, subject, count, found in few.iter_rows()}


def _predictions_off(lake: Lake) -> dict[Partition, tuple[int, int]]:
    # Predictions without a row in `scores`: a run was killed between its commits; the next one scores them again.
    scored = lake.scores.extract().select(*_KEY, "windows")
    every, online = lake.predictions.counted(), lake.predictions.counted("request_id").rename({"rows": "online"})
    both = scored.join(every, on=_KEY, how="left").join(online, on=_KEY, how="left")
    nightly = pl.col("rows").fill_null(0) - pl.col("online").fill_null(0)
    off = both.select(*_KEY, nightly.alias("found"), "windows").filter(pl.col("found") != pl.col("windows"))
    return {(date, subject): (found, count) for date, subject, found, count in off.iter_rows()}


def _online_off(lake: Lake) -> dict[Partition, tuple[int, int]]:
    answered, found = lake.requests.counts(), lake.predictions.counts(filled="request_id")
    # Windows that were answered live have no request; they are told from the others by their id only.
    mixed = [key for key, count in found.items() if answered.get(key, 0) and count > answered[key]]
    for key, live in _live(lake, mixed).items():
        found[key] -= live
    pairs = {key: (found.get(key, 0), answered.get(key, 0)) for key in {*answered, *found}}
    # A run of `har collect` that was killed leaves predictions without requests, and its log to be read again.
    return {key: pair for key, pair in pairs.items() if pair[0] < pair[1]}


def _live(lake: Lake, partitions: Collection[Partition]) -> dict[Partition, int]:
    if not partitions:
        return {}
    rows = lake.predictions.scan(partitions=partitions).filter(pl.col("request_id").str.starts_with(STREAMED))
    counts = lake.predictions.collect(rows.group_by("date", "subject").len())
    return {(date, subject): count for date, subject, count in counts.iter_rows()}


def _counts(table: Table, off: dict[Partition, tuple[int, int]], what: str, other: str) -> Loss | None:
    if not off:
        return None
    partitions = tuple(sorted(off))
    found, expected = off[partitions[0]]
    online = other == "`requests`"
    remedy = _BACKUP.format(table=table.name) if online else f"Make them again: `{table.rebuild}`."
    return Loss(table.name, partitions, f"{found:,} {what}, where {other} counts {expected:,}", remedy)


def _commits(table: Table) -> Loss | None:
    lost = tuple(in_order(table.lost()))
    if not lost:
        return None
    remedy = f"Make the rows again: `{table.rebuild}`." if table.rebuild else _BACKUP.format(table=table.name)
    return Loss(table.name, lost, "a commit that changed it is gone from the log", remedy)


def _files(table: Table) -> Loss | None:
    damaged = table.damaged()
    if not damaged:
        return None
    partitions = tuple(in_order(damaged))
    path, why = next(iter(damaged[partitions[0]].items()))
    again = f", then make them again: `{table.rebuild}`" if table.rebuild else ""
    remedy = f"Restore the file from a backup; or give its rows up: `har check --repair`{again}."
    return Loss(table.name, partitions, f"{path}: {why}", remedy)


def _scored_from_lost_versions(lake: Lake) -> dict[Partition, int]:
    ahead = lake.scores.extract().filter(pl.col("samples_version") > lake.samples.version())
    return {(date, subject): version for date, subject, version in ahead.select(*_SCORED_FROM).iter_rows()}


_SCORED_FROM = ("date", "subject", "samples_version")


def _versions(lake: Lake) -> Loss | None:
    ahead = _scored_from_lost_versions(lake)
    if not ahead:
        return None
    partitions = tuple(sorted(ahead))
    newest = lake.samples.version()
    problem = f"scored from samples@{ahead[partitions[0]]}, but the newest version is {newest}: commits are gone"
    return Loss("scores", partitions, problem, "Load what is missing, then score: `har ingest`, `har score`.")


_BACKUP = "Restore {table} from a backup; or go on with what is left: `har check --accept`."
