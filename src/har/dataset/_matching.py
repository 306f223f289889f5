"""Which windows some labels are about, and what these windows were labelled with before."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.cutting import cut_day
from har.dataset._feedback import Feedback, Timelines
from har.lake import Lake, Partition
from har.settings import Settings

MATCHED = ("date", "subject", "session", "start", "activity", "before")
_KEY = ["date", "subject", "session", "start"]


def matched_windows(lake: Lake, settings: Settings, labels: pl.DataFrame) -> pl.DataFrame:
    """The windows that these labels would name, were they the only ones.

    Args:
        lake: the samples, and the labels so far.
        settings: how windows are cut, and the activities.
        labels: subject, start, end and activity; where they overlap, the last one applies.

    Returns:
        date, subject, session, start, activity, and `before`: the label now, of a file or a person, or null.
        Windows of the online service count, too, where the lake has no samples of their time.
    """
    names = settings.activities.all
    labels = labels.filter((pl.col("start") < pl.col("end")) & pl.col("activity").is_in(names))
    timelines = Timelines(labels, names)
    known = Feedback(lake, names, subjects=labels["subject"].unique())
    schema = {name: lake.predictions.schema[name] for name in _KEY} | {"activity": pl.String(), "before": pl.String()}
    parts = [pl.DataFrame(schema=schema)]
    days = days_around(labels)
    existing = sorted(days & set(lake.samples.partitions()))
    for partition, frame in lake.samples.each(None, existing, ["session", "segment", "time", "activity"]):
        parts.append(_of_day(partition, frame, settings, timelines, known))
    parts.append(_of_service(lake, settings, days, timelines, known))
    found = pl.concat([part.select(MATCHED) for part in parts])
    return found.unique(_KEY, keep="first", maintain_order=True)


def days_around(labels: pl.DataFrame) -> set[Partition]:
    """The subject-days that may have something within these intervals; dates of recordings are local, not UTC."""
    days: set[Partition] = set()
    spans = labels.select("subject", pl.col("start").dt.date(), pl.col("end").dt.date().alias("end")).unique()
    for subject, first, last in spans.iter_rows():
        days.update((first + dt.timedelta(days=shift), subject) for shift in range(-1, (last - first).days + 2))
    return days


def _of_day(
    partition: Partition, frame: pl.DataFrame, settings: Settings, timelines: Timelines, known: Feedback
) -> pl.DataFrame:
    names = settings.activities.all
    subject = pl.Series([partition[1]])

    def by_labels(ordered: pl.DataFrame) -> NDArray[np.int16]:
        found = timelines.at(subject.new_from_index(0, len(ordered)), ordered["time"])
        return np.full(len(ordered), -1, np.int16) if found is None else found

    def so_far(ordered: pl.DataFrame) -> NDArray[np.int16]:
        files = ordered["activity"].replace_strict(names, range(len(names)), default=-1, return_dtype=pl.Int16)
        return known.over(subject.new_from_index(0, len(ordered)), ordered["time"], files.fill_null(-1).to_numpy())

    windows, places = cut_day(partition, frame, settings, (), labels=by_labels)
    before, _ = cut_day(partition, frame, settings, (), labels=so_far)
    return _named(places, windows.labels, before.labels, settings)


def _of_service(
    lake: Lake, settings: Settings, days: set[Partition], timelines: Timelines, known: Feedback
) -> pl.DataFrame:
    """Windows that the online service answered, labelled where at least `windows.purity` of their time is."""
    partitions = days & set(lake.predictions.partitions())
    online = lake.predictions.collect(
        lake.predictions.scan(partitions=partitions)
        .filter(pl.col("request_id").is_not_null())
        .select(_KEY)
        .unique()
        .sort(_KEY)
    )
    if online.is_empty():
        return online.with_columns(pl.lit(None, pl.String).alias(name) for name in ("activity", "before"))
    length = settings.length
    stamps = np.rint(np.arange(length) * (1e6 / settings.sensors.rate_hz)).astype(np.int64)
    times_us = online["start"].to_physical().to_numpy()[:, None] + stamps
    subjects = online["subject"].gather(np.repeat(np.arange(len(online)), length))
    times = pl.Series(times_us.reshape(-1)).cast(lake.predictions.schema["start"])
    nothing = np.full(times_us.size, -1, np.int16)
    found = timelines.at(subjects, times)
    labels = nothing if found is None else found
    before = known.over(subjects, times, nothing)
    return _named(
        online,
        _majority(labels.reshape(-1, length), settings),
        _majority(before.reshape(-1, length), settings),
        settings,
    )


def _majority(labels: NDArray[np.int16], settings: Settings) -> NDArray[np.int16]:
    """The label that at least `windows.purity` of each row has, -1 if none has, (N,)."""
    counts = np.stack([(labels == code).sum(axis=1) for code in range(len(settings.activities.all))], axis=1)
    best = counts.argmax(axis=1).astype(np.int16)
    enough = counts.max(axis=1) >= settings.windows.purity * labels.shape[1]
    return np.where(enough, best, np.int16(-1))


def _named(
    places: pl.DataFrame, labels: NDArray[np.integer], before: NDArray[np.integer], settings: Settings
) -> pl.DataFrame:
    names = np.array([*settings.activities.all, None], object)
    columns = [
        pl.Series("activity", names[labels].tolist(), pl.String),
        pl.Series("before", names[before].tolist(), pl.String),
    ]
    return places.with_columns(columns).filter(pl.col("activity").is_not_null())
