"""Load labelled windows from the lake."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.cutting import ORDER, RECORDING, cut_day, matrix, run_ids, signal_rule
from har.dataset._feedback import Feedback
from har.errors import NotEnoughDataError
from har.lake import Lake, Partition
from har.settings import Settings
from har.windows import WindowSet, cut

_LABEL_COLUMNS = ("date", "subject", "session", "start", "activity")


def load_windows(
    lake: Lake,
    settings: Settings,
    *,
    version: int | None = None,
    labels_version: int | None = None,
    unreviewed_of: Collection[str] = (),
) -> WindowSet:
    """All windows with a signal of the lake at one version, with label, subject, recording and date.

    Windows of which a sensor was off, stuck or at its limit (see `har.plausibility.SignalRule`) are left out and
    counted: nothing can be learned from them, and no model can name them rightly. A sample's activity comes from a
    person (imported labels, accepted feedback) or, where there is none, from its file.

    Args:
        lake: the tables.
        settings: length, stride and purity of windows, and the activities.
        version: of `samples`; None: the newest.
        labels_version: of `labels`; None: the newest, -1: the files alone.
        unreviewed_of: subjects for whom feedback that nobody has reviewed counts, too, where nothing else does. They
            must not judge a model.

    Raises:
        NotEnoughDataError: the lake holds no samples.
        LakeDamageError: a file of the samples is missing or damaged.
    """
    lake.samples.require_intact(version)
    columns = ["date", "subject", "session", "segment", "time", "activity", *lake.channels]
    frame = lake.samples.collect(lake.samples.scan(version).select(columns).sort(ORDER), version)
    if frame.is_empty():
        raise NotEnoughDataError.no_samples(lake.samples.where)
    windows = cut(
        matrix(frame, lake.channels),
        run_ids(frame),
        length=settings.length,
        stride=settings.stride,
        labels=_labels(
            frame, settings, Feedback(lake, settings.activities.all, labels_version, unreviewed_of=unreviewed_of)
        ),
        purity=settings.windows.purity,
        subjects=frame["subject"].to_numpy().astype(str),
        recordings=_numbers(frame),
        dates=frame["date"].to_numpy().astype("datetime64[D]"),
    )
    absent = _absent(windows, settings)
    return replace(windows.select(~absent), without_signal=int(absent.sum()))


def placements(lake: Lake, windows: WindowSet, *, version: int | None = None) -> NDArray[np.str_]:
    """The placement of the sensor for each window, "" if unknown, str (N,).

    Args:
        lake: the tables.
        windows: from `load_windows`, all or some of them.
        version: of `samples`, the one of the windows; None: the newest.
    """
    return wearing(lake, windows, version=version)[0]


def wearing(lake: Lake, windows: WindowSet, *, version: int | None = None) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """As `placements`, and the device that recorded each window, "" if unknown, str (N,)."""
    columns = ("placement", "device")
    every = lake.recordings.read(columns=[*RECORDING, *columns, "ingested_at", "file"]).sort("ingested_at", "file")
    recorded = every.select(*RECORDING, *columns).unique(RECORDING, keep="last", maintain_order=True)
    found = _recordings(lake, version).join(recorded, on=RECORDING, how="left", maintain_order="left")
    placed, device = (found[column].fill_null("").to_numpy().astype(str)[windows.recordings] for column in columns)
    return placed, device


def recording_names(lake: Lake, *, version: int | None = None) -> NDArray[np.str_]:
    """Date, subject and session of each recording, str; `WindowSet.recordings` are indices into it.

    Args:
        lake: the tables.
        version: of `samples`, the one of the windows; None: the newest.
    """
    found = _recordings(lake, version).select(pl.format("{} {} {}", *RECORDING).alias("name"))
    names: NDArray[np.str_] = found["name"].to_numpy().astype(str)
    return names


def window_labels(
    lake: Lake,
    settings: Settings,
    *,
    version: int | None = None,
    labels_version: int | None = None,
    partitions: Collection[Partition] | None = None,
    unreviewed_of: Collection[str] | None = (),
) -> pl.DataFrame:
    """The labelled windows that `load_windows` would return; sensor values are read only where samples were flagged.

    Args:
        lake: the tables.
        settings: length, stride and purity of windows, and the activities.
        version: of `samples`; None: the newest.
        labels_version: of `labels`; None: the newest, -1: the files alone.
        partitions: only these subject-days; None: all.
        unreviewed_of: subjects for whom unreviewed feedback counts, too; None: everybody.

    Returns:
        date, subject, session, start and activity, one row per window.
    """
    days = None if partitions is None else {date for date, _ in partitions}
    feedback = Feedback(lake, settings.activities.all, labels_version, unreviewed_of=unreviewed_of, days=days)
    parts = [pl.DataFrame(schema={name: lake.predictions.schema[name] for name in _LABEL_COLUMNS})]
    wanted = _may_have_labels(lake, feedback, version, partitions)
    for partition, frame in _samples_for_labels(lake, version, wanted):
        channels = lake.channels if lake.channels[0] in frame.columns else ()
        subject = pl.lit(partition[1]).alias("subject")

        def labels(ordered: pl.DataFrame, subject: pl.Expr = subject) -> NDArray[np.int16]:
            return _labels(ordered.with_columns(subject), settings, feedback)

        windows, places = cut_day(partition, frame, settings, channels, labels=labels)
        labelled = windows.labels >= 0
        if channels:
            labelled[labelled] = ~_absent(windows.select(labelled), settings)
        activities = _names(windows.select(labelled), settings)
        parts.append(places.filter(labelled).with_columns(activities).select(_LABEL_COLUMNS))
    return pl.concat(parts).sort("date", "subject", maintain_order=True)


def labels_from_feedback(
    windows: pl.DataFrame, lake: Lake, settings: Settings, *, unreviewed_of: Collection[str] | None = ()
) -> pl.DataFrame:
    """Label windows from the table `labels` alone, such as those of the online service: the lake has no samples of it.

    Args:
        windows: date, subject, session and start of each.
        lake: the labels.
        settings: length and purity of windows, and the activities.
        unreviewed_of: subjects for whom unreviewed feedback counts, too; None: everybody.

    Returns:
        As `window_labels`, for the windows that the table labels.
    """
    feedback = Feedback(
        lake, settings.activities.all, subjects=windows["subject"].unique(), unreviewed_of=unreviewed_of
    )
    length_us = round(1e6 * settings.length / settings.sensors.rate_hz)
    intervals = feedback.rows.select("subject", pl.col("start").alias("from"), pl.col("end").alias("to")).unique()
    ends = windows.select("date", "subject", "session", "start").with_columns(
        (pl.col("start") + pl.duration(microseconds=length_us)).alias("end")
    )
    overlapping = (
        ends.with_row_index("row")
        .join_where(
            intervals,
            pl.col("subject") == pl.col("subject_right"),
            pl.col("start") < pl.col("to"),
            pl.col("end") > pl.col("from"),
        )
        .unique("row")
        .sort("row")
    )
    # Label every sample time of each window, so that `cut` applies the same majority rule as to samples of the lake.
    stamps = np.arange(settings.length) * (1e6 / settings.sensors.rate_hz)
    times_us = overlapping["start"].to_physical().to_numpy()[:, None] + np.rint(stamps).astype(np.int64)
    count = len(overlapping)
    labels = feedback.over(
        overlapping["subject"].gather(np.repeat(np.arange(count), settings.length)),
        pl.Series(times_us.reshape(-1)).cast(lake.predictions.schema["start"]),
        np.full(times_us.size, -1, np.int16),
    )
    cuts = cut(
        np.empty((times_us.size, 0), np.float32),
        np.repeat(np.arange(count), settings.length),
        length=settings.length,
        stride=settings.length,
        labels=labels,
        purity=settings.windows.purity,
    )
    labelled = cuts.select(cuts.labels >= 0)
    return overlapping[labelled.segments].with_columns(_names(labelled, settings)).select(_LABEL_COLUMNS)


def _absent(windows: WindowSet, settings: Settings) -> NDArray[np.bool_]:
    """Which windows have no signal, bool (N,)."""
    return signal_rule(settings).absent_in(windows.samples, windows.starts)


def _samples_for_labels(
    lake: Lake, version: int | None, partitions: Collection[Partition]
) -> Iterator[tuple[Partition, pl.DataFrame]]:
    """Samples of these subject-days, with the channels only where a window may have no signal.

    The rule finds no window without a signal where no sample is stuck or saturated, and those are counted per file.
    """
    flagged = (pl.col("stuck") > 0) | (pl.col("saturated") > 0)
    flagged_files = lake.recordings.scan(partitions=partitions).filter(flagged).select("date", "subject")
    found = lake.recordings.collect(flagged_files)
    doubtful = set(found.iter_rows()) & set(partitions)
    columns = ["session", "segment", "time", "activity"]
    yield from lake.samples.each(version, sorted(set(partitions) - doubtful), columns)
    yield from lake.samples.each(version, sorted(doubtful), [*columns, *lake.channels])


def _may_have_labels(
    lake: Lake, feedback: Feedback, version: int | None, partitions: Collection[Partition] | None
) -> list[Partition]:
    """Subject-days that may have labelled windows: those with labels in their files, and those with feedback."""
    rows = lake.recordings.read(partitions=partitions, columns=["date", "subject", "unlabelled", "samples"])
    files = rows.filter(pl.col("unlabelled") < pl.col("samples"))
    # Dates of recordings are in the project's time zone, dates of feedback in UTC.
    days = (feedback.rows["date"] + dt.timedelta(days=shift) for shift in (-1, 0, 1))
    with_feedback = [feedback.rows.select(day.alias("date"), "subject") for day in days]
    wanted = set(pl.concat([files.select("date", "subject"), *with_feedback]).rows())
    existing = wanted & set(lake.samples.partitions(version))
    return sorted(existing if partitions is None else existing & set(partitions))


def _recordings(lake: Lake, version: int | None) -> pl.DataFrame:
    """Date, subject and session of the recordings, in the order of their numbers."""
    return lake.samples.collect(lake.samples.scan(version).select(RECORDING).unique(), version).sort(RECORDING)


def _names(windows: WindowSet, settings: Settings) -> pl.Series:
    return pl.Series("activity", np.asarray(settings.activities.all)[windows.labels], pl.String)


def _numbers(frame: pl.DataFrame) -> NDArray[np.int32]:
    """The number of each row's recording, int32 (n,)."""
    changed = np.diff(run_ids(frame.select(RECORDING)), prepend=0) != 0
    return np.cumsum(changed, dtype=np.int32)


def _labels(frame: pl.DataFrame, settings: Settings, feedback: Feedback) -> NDArray[np.int16]:
    """The index of each sample's activity, -1 if unlabelled, int16 (n,)."""
    names = settings.activities.all
    labels = frame["activity"].replace_strict(names, range(len(names)), default=-1, return_dtype=pl.Int16)
    return feedback.over(frame["subject"], frame["time"], labels.fill_null(-1).to_numpy())
