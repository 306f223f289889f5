"""Samples of the lake in, labelled windows out: the one bridge between the tables and `har.windows`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.cutting import ORDER, RECORDING, cut_day, matrix, run_ids
from har.dataset._feedback import Feedback
from har.errors import NotEnoughDataError
from har.lake import Lake, Partition
from har.settings import Settings
from har.windows import WindowSet, cut

_PLACE = ("date", "subject", "session", "start", "activity")


def load_windows(
    lake: Lake, settings: Settings, *, version: int | None = None, labels_version: int | None = None
) -> WindowSet:
    """Every window of the lake at one version, with its activity's index (-1: none), subject, recording and date.

    A sample's activity is what feedback says, and what the file said where there is no feedback.

    Args:
        lake: the tables.
        settings: how windows are cut, and the activities.
        version: of `samples`; None: the newest.
        labels_version: of `labels`; None: the newest, -1: no feedback.

    Raises:
        NotEnoughDataError: the lake holds no samples.
    """
    frame = (
        lake.samples.scan(version)
        .select("date", "subject", "session", "segment", "time", "activity", *lake.channels)
        .sort(ORDER)
        .collect()
    )
    if frame.is_empty():
        raise NotEnoughDataError(
            where=str(lake.samples.path),
            expected="ingested samples",
            got="an empty table",
            remedy="Put files into the inbox and run `har ingest`, or try `har replay` first.",
        )
    return cut(
        matrix(frame, lake.channels),
        run_ids(frame),
        length=settings.length,
        stride=settings.stride,
        labels=_labels(frame, settings, Feedback(lake, settings.activities.all, labels_version)),
        purity=settings.windows.purity,
        subjects=frame["subject"].to_numpy().astype(str),
        recordings=_numbers(frame),
        dates=frame["date"].to_numpy().astype("datetime64[D]"),
    )


def placements(lake: Lake, windows: WindowSet, *, version: int | None = None) -> NDArray[np.str_]:
    """Where the sensor of each of `load_windows`' windows was worn, "" where no file says so, str (N,).

    Args:
        lake: the tables.
        windows: of the whole lake at `version`, or some of them.
        version: of `samples`, as the windows were loaded; None: the newest.
    """
    worn = lake.recordings.read(columns=[*RECORDING, "placement"]).unique(RECORDING, keep="last")
    order = lake.samples.scan(version).select(RECORDING).unique().collect().sort(RECORDING)
    names = order.join(worn, on=RECORDING, how="left", maintain_order="left")["placement"].fill_null("")
    found: NDArray[np.str_] = names.to_numpy().astype(str)[windows.recordings]
    return found


def window_labels(
    lake: Lake,
    settings: Settings,
    *,
    version: int | None = None,
    labels_version: int | None = None,
    partitions: Collection[Partition] | None = None,
) -> pl.DataFrame:
    """Every labelled window and its activity, as `load_windows` would cut and name it, without reading a sensor.

    Args:
        lake: the tables.
        settings: how windows are cut, and the activities.
        version: of `samples`; None: the newest.
        labels_version: of `labels`; None: the newest, -1: no feedback.
        partitions: of these subject-days only.

    Returns:
        date, subject, session, start and activity, one row per window.
    """
    feedback = Feedback(lake, settings.activities.all, labels_version)
    parts = [pl.DataFrame(schema={name: lake.predictions.schema[name] for name in _PLACE})]
    columns = ["session", "segment", "time", "activity"]
    for partition, frame in lake.samples.each(version, _with_labels(lake, feedback, version, partitions), columns):
        subject = pl.lit(partition[1]).alias("subject")

        def labels(ordered: pl.DataFrame, subject: pl.Expr = subject) -> NDArray[np.int16]:
            return _labels(ordered.with_columns(subject), settings, feedback)

        windows, places = cut_day(partition, frame, settings, (), labels=labels)
        known = windows.labels >= 0
        parts.append(places.filter(known).with_columns(_names(windows.select(known), settings)).select(_PLACE))
    return pl.concat(parts)


def told_labels(windows: pl.DataFrame, lake: Lake, settings: Settings) -> pl.DataFrame:
    """The activity of windows of which the lake holds no samples, from feedback alone.

    Args:
        windows: date, subject, session and start of each, such as predictions of the online service.
        lake: the feedback.
        settings: how long windows are, and the activities.

    Returns:
        As `window_labels`: those to which feedback gives a label.
    """
    feedback = Feedback(lake, settings.activities.all, subjects=windows["subject"].unique())
    length_us = round(1e6 * settings.length / settings.sensors.rate_hz)
    told = feedback.rows.select("subject", pl.col("start").alias("from"), pl.col("end").alias("to")).unique()
    ends = windows.select("date", "subject", "session", "start").with_columns(
        (pl.col("start") + pl.duration(microseconds=length_us)).alias("end")
    )
    near = (
        ends.with_row_index("row")
        .join_where(
            told,
            pl.col("subject") == pl.col("subject_right"),
            pl.col("start") < pl.col("to"),
            pl.col("end") > pl.col("from"),
        )
        .unique("row")
        .sort("row")
    )
    # Each window as the samples it was made of: what counts as labelled is then the same as everywhere else.
    stamps = np.arange(settings.length) * (1e6 / settings.sensors.rate_hz)
    moments = near["start"].to_physical().to_numpy()[:, None] + np.rint(stamps).astype(np.int64)
    count = len(near)
    labels = feedback.over(
        near["subject"].gather(np.repeat(np.arange(count), settings.length)),
        pl.Series(moments.reshape(-1)).cast(lake.predictions.schema["start"]),
        np.full(moments.size, -1, np.int16),
    )
    cuts = cut(
        np.empty((moments.size, 0), np.float32),
        np.repeat(np.arange(count), settings.length),
        length=settings.length,
        stride=settings.length,
        labels=labels,
        purity=settings.windows.purity,
    )
    known = cuts.select(cuts.labels >= 0)
    return near[known.segments].with_columns(_names(known, settings)).select(_PLACE)


def _with_labels(
    lake: Lake, feedback: Feedback, version: int | None, partitions: Collection[Partition] | None
) -> list[Partition]:
    """Subject-days that can hold a labelled window: those whose files have labels, or that feedback is about."""
    files = lake.recordings.scan(partitions=partitions).filter(pl.col("unlabelled") < pl.col("samples"))
    # A recording's date is that of its time zone, a feedback's that of UTC.
    days = (feedback.rows["date"] + dt.timedelta(days=shift) for shift in (-1, 0, 1))
    near = [feedback.rows.select(day.alias("date"), "subject") for day in days]
    wanted = set(pl.concat([files.select("date", "subject").collect(), *near]).rows())
    there = wanted & set(lake.samples.partitions(version))
    return sorted(there if partitions is None else there & set(partitions))


def _names(windows: WindowSet, settings: Settings) -> pl.Series:
    return pl.Series("activity", np.asarray(settings.activities.all)[windows.labels], pl.String)


def _numbers(frame: pl.DataFrame) -> NDArray[np.int32]:
    """Each row's recording as its place in the order of recordings, int32 (n,)."""
    changed = np.diff(run_ids(frame.select(RECORDING)), prepend=0) != 0
    return np.cumsum(changed, dtype=np.int32)


def _labels(frame: pl.DataFrame, settings: Settings, feedback: Feedback) -> NDArray[np.int16]:
    """The activity's index of each sample, -1 where there is none, int16 (n,)."""
    names = settings.activities.all
    own = frame["activity"].replace_strict(names, range(len(names)), default=-1, return_dtype=pl.Int16)
    return feedback.over(frame["subject"], frame["time"], own.fill_null(-1).to_numpy())
