"""Writes a profile per day, subject, placement and device of the windows scored nightly, and of those answered online.

A day's rows are replaced as a whole, so that a run that was killed can be repeated.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import MonitoringError
from har.lake import Lake, Partition
from har.monitoring.profiles._by_activity import Bins, ByActivity
from har.monitoring.profiles._profile import Profile, chosen_features
from har.monitoring.profiles._profiles import Profiles
from har.plausibility import NO_SIGNAL
from har.predictions import FEATURES, with_signal
from har.settings import Settings

_WORN = ["date", "subject", "placement", "device"]
"""What a nightly profile is of."""
_QUALITY = ["coverage", "gaps_per_h", "saturated", "stuck", "no_signal"]
_NO_QUALITY: dict[str, NDArray[np.float64]] = {name: np.empty(0) for name in _QUALITY}
_AT_ONCE = 64
"""Subject-days of online windows in one commit."""
_SHORTEST_H = 0.25
"""In gaps per hour, a recording counts as at least a quarter of an hour long."""


class Profiler:
    """Writes the profiles of whole partitions as they are scored; safe to share between threads.

    Attributes:
        features: names of the features that are profiled, in the model's order.

    Args:
        lake: gets the rows.
        settings: say which features, and the rate.
        names: of all the model's features.
        model_version: the model's.
        bins: in which the features are counted by activity; None, or bins of other
            features: they are not.

    Raises:
        MonitoringError: the settings name features that the model does not have.
    """

    def __init__(
        self, lake: Lake, settings: Settings, names: Sequence[str], model_version: int, bins: Bins | None = None
    ) -> None:
        self.features = chosen_features(names, settings.monitoring)
        self._bins = bins if bins is not None and bins.features == self.features else None
        self._lake = lake
        self._rate_hz = settings.sensors.rate_hz
        self._version = model_version

    def __call__(self, partitions: Sequence[Partition], predictions: pl.DataFrame) -> None:
        """Profile the windows of these partitions; replaces what the nightly job wrote for them before.

        Args:
            partitions: all those of `predictions`; one without windows gets a row too, for the quality of its data.
            predictions: as `har.predictions.predict` gives them, with `features` in the column `FEATURES`.
        """
        if not partitions:
            return
        recordings = self._recordings(partitions)
        worn = recordings.select("date", "subject", "session", "placement", "device")
        # Features are most of the bytes: they are not joined or partitioned, only indexed by row.
        narrow = predictions.select("date", "subject", "session", "activity").with_row_index("row")
        placed = narrow.join(worn, on=["date", "subject", "session"], how="left", maintain_order="left")
        placed = placed.with_columns(pl.col("placement", "device").fill_null(""))
        measured = with_signal(placed)
        answered = {tuple(where): count for *where, count in placed.group_by(_WORN).len().iter_rows()}
        counts: dict[Any, dict[str, int]] = {}
        for *where, activity, count in measured.group_by(*_WORN, "activity").len().iter_rows():
            counts.setdefault(tuple(where), {})[activity] = count
        windows = measured.select("row", *_WORN).partition_by(_WORN, as_dict=True, include_key=False)
        known = _quality(_silence(placed, recordings))
        features, confidence = _matrix(predictions[FEATURES], len(self.features)), predictions["confidence"].to_numpy()
        activities, answers = _answers(placed["activity"])
        rows = []
        made_at = _later_than_reports(self._lake)
        for where in sorted({*answered, *known}):
            index = windows[where]["row"].to_numpy() if where in windows else np.empty(0, np.uint32)
            profile = Profile.of(
                features[index],
                self.features,
                confidence=confidence[index],
                activities=counts.get(where, {}),
                quality=known.get(where, _NO_QUALITY),
            )
            bins = self._bins
            counted = None if bins is None else bins.count(features[index], answers[index], activities)
            rows.append(
                _row(where, profile, answered.get(where, 0), counted, model_version=self._version, made_at=made_at)
            )
        frame = pl.DataFrame(rows, self._lake.profiles.schema)
        self._lake.profiles.replace(frame, partitions, keep=pl.col("online"))

    def _recordings(self, partitions: Sequence[Partition]) -> pl.DataFrame:
        """Placement, device and data quality of each session, by date, subject and session."""
        every = self._lake.recordings.read(partitions=partitions).sort("ingested_at", "file")
        found = every.unique(["date", "subject", "session"], keep="last", maintain_order=True)
        hours = pl.col("samples") / (3600 * self._rate_hz) / pl.col("coverage").clip(1e-6)
        return found.sort("date", "subject", "session").select(
            "date",
            "subject",
            "session",
            pl.col("placement", "device").fill_null(""),
            "coverage",
            (pl.col("gaps") / hours.clip(_SHORTEST_H)).alias("gaps_per_h"),
            # These count samples as the file had them, before resampling.
            *(_share(name) for name in ("saturated", "stuck")),
        )


def _silence(windows: pl.DataFrame, recordings: pl.DataFrame) -> pl.DataFrame:
    """The recordings with the share of their windows that have no signal, as `no_signal`."""
    key = ["date", "subject", "session"]
    shares = windows.group_by(key).agg((pl.col("activity") == NO_SIGNAL).mean().alias("no_signal"))
    return recordings.join(shares, on=key, how="left", maintain_order="left")


def _quality(recordings: pl.DataFrame) -> dict[Any, dict[str, NDArray[np.float64]]]:
    """By date, subject, placement and device, the values of each counter; NaN where a recording has none."""
    values = recordings.select(pl.col(_QUALITY).cast(pl.Float64)).to_numpy()
    places: dict[Any, list[int]] = {}
    for row, where in enumerate(recordings.select(_WORN).iter_rows()):
        places.setdefault(where, []).append(row)
    return {where: dict(zip(_QUALITY, values[rows].T, strict=True)) for where, rows in places.items()}


def _matrix(features: pl.Series, count: int) -> NDArray[np.float32]:
    """The features of windows as float32 (N, count)."""
    if not len(features):
        return np.empty((0, count), np.float32)
    return np.asarray(features.cast(pl.Array(pl.Float32, count)).to_numpy())


def _answers(activity: pl.Series) -> tuple[tuple[str, ...], NDArray[np.uint32]]:
    """The activities that were predicted, sorted, and each window's place among them."""
    known = activity.unique().sort()
    return tuple(known), activity.replace_strict(
        known, pl.int_range(len(known), eager=True), return_dtype=pl.UInt32
    ).to_numpy()


def _share(name: str) -> pl.Expr:
    used = pl.col("samples_read") - pl.col("duplicates") - pl.col("duplicate_stamps")
    return (pl.col(name) / pl.max_horizontal(used, 1)).alias(name)


def profile_of_windows(
    windows: pl.DataFrame, features: Sequence[str], recordings: pl.DataFrame | None = None
) -> Profile:
    """Profile some windows; those without a signal are left out: a sensor that is off does not show how people move.

    Args:
        windows: columns activity, confidence and `FEATURES`, an array or a list of F values.
        features: F names.
        recordings: some of the columns coverage, gaps_per_h, saturated, stuck and no_signal, one row per recording;
            None: none.
    """
    windows = with_signal(windows)
    values = _matrix(windows[FEATURES], len(features))
    counts = windows["activity"].value_counts()
    quality = {}
    if recordings is not None:
        known = [name for name in _QUALITY if name in recordings.columns]
        quality = {name: recordings[name].drop_nulls().cast(pl.Float64).to_numpy() for name in known}
    return Profile.of(
        values,
        features,
        confidence=windows["confidence"].to_numpy(),
        activities=dict(counts.iter_rows()),
        quality=quality,
    )


def _later_than_reports(lake: Lake) -> dt.datetime:
    """The time, but later than every drift report, because a day with newer profiles is judged again."""
    newest = lake.drift.newest("made_at")
    now = dt.datetime.now(dt.UTC)
    return now if newest is None else max(now, newest + dt.timedelta(microseconds=1))


def _row(
    where: tuple[Any, ...],
    profile: Profile,
    answered: int,
    counted: ByActivity | None,
    *,
    model_version: int,
    made_at: dt.datetime,
    online: bool = False,
) -> dict[str, Any]:
    date, subject, placement, device = where
    return {
        "date": date,
        "subject": subject,
        "placement": placement,
        "device": device,
        "online": online,
        "windows": answered,
        "model_version": model_version,
        "profile": profile.to_bytes(),
        "made_at": made_at,
        "by_activity": None if counted is None else counted.to_bytes(),
    }


def profile_online(lake: Lake, models: Mapping[int, tuple[Sequence[str], Sequence[str]]], *, keep_days: int) -> int:
    """Profile what the online service's models saw, for each day and subject that has new windows.

    A day's profile is made from all of its requests each time, so none is counted twice even after a killed run.
    Windows that the fallback rule answered have no features and are left out.

    Args:
        lake: requests and predictions in, profiles out.
        models: per version the names of all its features, as the requests store them, and of those to profile.
        keep_days: `monitoring.keep_days`; days whose profiles are too old to be kept are not profiled again.

    Returns:
        How many profiles were written.

    Raises:
        MonitoringError: a request with another number of features than its version has.
    """
    key = ["date", "subject", "model_version"]
    seen = (pl.col("fallback").is_null() | (pl.col("fallback") != "rule")) & pl.col("model_version").is_in(list(models))
    ours = pl.col("online") & pl.col("model_version").is_in(list(models))
    oldest = Profiles(lake).oldest_kept(keep_days)
    recent = pl.lit(True) if oldest is None else pl.col("date") >= oldest
    answered = lake.requests.extract().filter(seen & recent).group_by(key).agg(pl.col("rows").sum().alias("len"))
    known = lake.profiles.extract().filter(ours).select(*key, "windows")
    late = answered.join(known, on=key, how="left").filter(pl.col("len") > pl.col("windows").fill_null(0))
    outdated = late.select("date", "subject").unique().sort("date", "subject").rows()
    written = 0
    for first in range(0, len(outdated), _AT_ONCE):
        chosen = outdated[first : first + _AT_ONCE]
        rows = _online_rows(lake, models, chosen, seen)
        lake.profiles.replace(pl.DataFrame(rows, lake.profiles.schema), chosen, keep=~ours)
        written += len(rows)
    return written


def _online_rows(
    lake: Lake,
    models: Mapping[int, tuple[Sequence[str], Sequence[str]]],
    partitions: Sequence[Partition],
    seen: pl.Expr,
) -> list[dict[str, Any]]:
    """Profiles of the online windows of some subject-days; `seen`: which requests have features."""
    key = ["date", "subject", "model_version"]
    rows = []
    made_at = _later_than_reports(lake)
    for partition in partitions:
        requests = lake.requests.scan(partitions=[partition]).filter(seen).select("request_id", "start", *key, FEATURES)
        predictions = lake.predictions.scan(partitions=[partition]).select(
            "request_id", "start", "session", "activity", "confidence"
        )
        windows = lake.requests.collect(requests).join(
            lake.predictions.collect(predictions), on=["request_id", "start"], how="inner"
        )
        in_order = windows.sort("start", "request_id")
        for (version,), group in in_order.partition_by("model_version", as_dict=True).items():
            names, features = models[version]
            silence = _silence(group, group.select("date", "subject", "session").unique(maintain_order=True))
            chosen = _with_features(group, names, features)
            profile = profile_of_windows(chosen, features, silence)
            where = (*partition, "", "")
            rows.append(_row(where, profile, len(group), None, online=True, model_version=version, made_at=made_at))
    return rows


def _with_features(windows: pl.DataFrame, names: Sequence[str], features: Sequence[str]) -> pl.DataFrame:
    """The windows with only those of their features that are profiled."""
    lengths = windows[FEATURES].list.len()
    if lengths.null_count() or (lengths != len(names)).any():
        raise MonitoringError(
            where=f"requests of {windows['date'][0]}, subject {windows['subject'][0]!r}",
            expected=f"{len(names)} features, as version {windows['model_version'][0]} has",
            got=f"{lengths.min()!r} to {lengths.max()!r}",
            remedy="The service of another project wrote this log: collect it into that project's lake.",
        )
    every = windows[FEATURES].list.to_array(len(names)).to_numpy()
    places = {name: place for place, name in enumerate(names)}
    return windows.with_columns(pl.Series(FEATURES, every[:, [places[name] for name in features]]))
