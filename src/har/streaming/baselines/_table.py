"""Baselines in the lake: write what is new, and read what was known at a moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from har.cutting import matrix
from har.lake import Lake, Partition
from har.plausibility import NO_SIGNAL
from har.predictions import UNCERTAIN, activity_minutes, counted_once, with_signal
from har.schema import FLAGS, TIME, UNKNOWN_SUBJECT
from har.settings import Settings
from har.streaming.baselines._features import BASELINE_DAYS, Day, baseline, moments
from har.streaming.state import HotStore

_ONE_DAY = dt.timedelta(days=1)
_CHUNK = 64
"""Partitions whose predictions are in memory at a time."""


@dataclass(frozen=True)
class BaselineReport:
    """What `update` wrote: days whose measurements were read, rows in the lake, subjects in the hot store."""

    days: int = 0
    rows: int = 0
    subjects: int = 0


def update(lake: Lake, settings: Settings, hot: HotStore | None = None) -> BaselineReport:
    """Write the baselines of days with newer predictions into the lake, and what is known today into the hot store.

    Args:
        lake: has samples and predictions.
        settings: activities, channels and time zone.
        hot: None: the lake only.

    Raises:
        StateError: the hot store is away; the lake has its rows.
    """
    key = ["date", "subject"]
    micros = (pl.col("written_ms") * 1000).cast(TIME)
    whose = (pl.col("subject").fill_null("") != "") & (pl.col("subject") != UNKNOWN_SUBJECT)
    written = lake.predictions.written().filter(whose).select(*key, micros.alias("at"))
    made = lake.baselines.extract()
    fresh = pl.col("at").eq_missing(pl.col("predictions_at"))
    stale = written.join(made, on=key, how="left").filter(~fresh).select(key).sort(key).rows()
    gone = made.join(written, on=key, how="anti").select(key).rows()
    touched = _frame(_shifted([*stale, *gone], range(BASELINE_DAYS)))
    written_at = {(date, subject): at for date, subject, at in written.join(touched, on=key, how="semi").iter_rows()}
    changed = set(written_at)
    before = _frame(_shifted(changed, range(1 - BASELINE_DAYS, 1)))
    kept = before.join(made, on=key, how="semi").join(written, on=key, how="semi").rows()
    days = {
        (row["date"], row["subject"]): _day_of(row)
        for row in lake.baselines.read(partitions=kept).iter_rows(named=True)
    }
    for first in range(0, len(stale), _CHUNK):
        days.update(_days(lake, settings, stale[first : first + _CHUNK]))
    if changed or gone:
        now = dt.datetime.now(dt.UTC)
        rows = [_row(one, days, settings, written_at[one], now) for one in sorted(changed)]
        lake.baselines.replace(pl.DataFrame(rows, schema=lake.baselines.schema), [*changed, *gone])
    subjects = newest(lake, dt.datetime.now(settings.project.zone).date()) if hot is not None else {}
    if hot is not None and subjects:
        hot.write_baselines(subjects)
    return BaselineReport(len(stale), len(changed), len(subjects))


def as_of(lake: Lake, events: pl.DataFrame) -> pl.DataFrame:
    """Join what was known before each event: the baseline of the subject's newest day before the event's.

    The day of the event itself is never part of it, so that nothing leaks from what is to be explained.

    Args:
        lake: has baselines.
        events: with the columns subject and date (of the event, in the project's time zone).

    Returns:
        The events in their order, with `baseline_date`, `baseline_days` and a column per feature, float64; null where
        nothing was known.
    """
    table = lake.baselines.read(columns=["date", "subject", "days", "features"])
    names = sorted({one["name"] for features in table["features"] for one in features})
    known = table.select(
        "subject",
        (pl.col("date") + pl.duration(days=1)).alias("date"),
        pl.col("date").alias("baseline_date"),
        pl.col("days").alias("baseline_days"),
        *(
            pl.col("features")
            .list.eval(pl.element().filter(pl.element().struct.field("name") == name))
            .list.first()
            .struct.field("value")
            .alias(name)
            for name in names
        ),
    )
    order = "order of the events"
    joined = (
        events.with_row_index(order)
        .sort("date")
        .join_asof(known.sort("date"), on="date", by="subject", strategy="backward", check_sortedness=False)
    )
    return joined.sort(order).drop(order)


def newest(lake: Lake, date: dt.date) -> dict[str, dict[str, float]]:
    """Each subject's baseline as it is known on this date."""
    subjects = lake.baselines.read(columns=["subject"])["subject"].unique().sort()
    found = as_of(
        lake, pl.DataFrame({"subject": subjects, "date": date}, schema={"subject": pl.String, "date": pl.Date})
    )
    features = [name for name in found.columns if name not in ("subject", "date", "baseline_date", "baseline_days")]
    return {
        row["subject"]: {name: row[name] for name in features if row[name] is not None}
        for row in found.filter(pl.col("baseline_date").is_not_null()).iter_rows(named=True)
    }


def _days(lake: Lake, settings: Settings, partitions: Sequence[Partition]) -> dict[Partition, Day]:
    """What was measured and answered on some days."""
    predictions = counted_once(lake.predictions.read(partitions=partitions))
    minutes: dict[Partition, dict[str, float]] = {}
    for date, subject, activity, spent in (
        activity_minutes(predictions).select("date", "subject", "activity", "minutes").iter_rows()
    ):
        if activity != NO_SIGNAL:
            minutes.setdefault((date, subject), {})[activity] = spent
    answered = {
        (date, subject): (windows, confidence)
        for date, subject, windows, confidence in with_signal(predictions)
        .group_by("date", "subject")
        .agg(pl.len(), pl.col("confidence").cast(pl.Float64).sort().sum())
        .iter_rows()
    }
    accelerometer = list(settings.sensors.accelerometer.channels) if settings.sensors.accelerometer else []
    found = {}
    for partition, frame in lake.samples.each(None, partitions, [*accelerometer, "flags"]):
        measured = frame.filter((pl.col("flags").fill_null(0) & (FLAGS["stuck"] | FLAGS["interpolated"])) == 0)
        windows, confidence = answered.get(partition, (0, 0.0))
        acceleration = matrix(measured if accelerometer else measured.clear(), accelerometer)
        found[partition] = Day(minutes.get(partition, {}), windows, confidence, *moments(acceleration))
    return found


def _row(
    partition: Partition, days: Mapping[Partition, Day], settings: Settings, at: dt.datetime, now: dt.datetime
) -> dict[str, Any]:
    date, subject = partition
    last = [days.get((date - back * _ONE_DAY, subject)) for back in range(BASELINE_DAYS)]
    measured = [day for day in last if day is not None and (day.windows or day.samples)]
    day = days[partition]
    return {
        "date": date,
        "subject": subject,
        "days": len(measured),
        "features": _numbers(baseline(measured, [*settings.activities.all, UNCERTAIN])),
        "minutes": _numbers(day.minutes),
        "windows": day.windows,
        "confidence_sum": day.confidence_sum,
        "samples": day.samples,
        "accel_mean": day.accel_mean,
        "accel_m2": day.accel_m2,
        "predictions_at": at,
        "made_at": now,
    }


def _day_of(row: Mapping[str, Any]) -> Day:
    minutes = {one["name"]: one["value"] for one in row["minutes"]}
    return Day(minutes, row["windows"], row["confidence_sum"], row["samples"], row["accel_mean"], row["accel_m2"])


def _numbers(values: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _shifted(partitions: Iterable[Partition], days: range) -> set[Partition]:
    return {(date + days_later * _ONE_DAY, subject) for date, subject in partitions for days_later in days}


def _frame(partitions: Iterable[Partition]) -> pl.DataFrame:
    return pl.DataFrame(list(partitions), {"date": pl.Date, "subject": pl.String}, orient="row")
