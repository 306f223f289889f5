"""Profiles beside predictions: one row per day, subject, placement and device, and by the month once they are old.

A day's rows are replaced as a whole, so that a run that was killed can be repeated. What is merged stays merged: a
sketch cannot give a day back, so a day that a month's row holds is not written again.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from har.errors import MonitoringError
from har.lake import Lake, Partition, newest_day
from har.monitoring.drift._watch import SubjectDay
from har.monitoring.profiles._profile import Profile, chosen_features, require_whylogs
from har.scoring import FEATURES
from har.settings import Settings

_MERGED = pl.col("days") > 1
_SHORTEST_H = 0.25
"""A recording shorter than a quarter of an hour counts as one when gaps per hour are stated."""


class Profiler:
    """Writes the profiles of whole partitions as they are scored; safe to share between threads.

    Attributes:
        features: names of the features that are profiled, in the model's order.

    Args:
        lake: gets the rows.
        settings: say which features, and the rate.
        names: of all the model's features.
        model_version: the model's.

    Raises:
        MonitoringError: the settings name features that the model does not have, or whylogs is missing.
    """

    def __init__(self, lake: Lake, settings: Settings, names: Sequence[str], model_version: int) -> None:
        require_whylogs()
        self.features = chosen_features(names, settings.monitoring)
        self._lake = lake
        self._rate_hz = settings.sensors.rate_hz
        self._version = model_version
        self._held = held(lake)

    def __call__(self, partitions: Sequence[Partition], predictions: pl.DataFrame) -> None:
        """Profile these partitions' windows, in place of what the nightly job saw there before.

        Args:
            partitions: of which `predictions` are all; one without windows gets a row too, for its data's quality.
            predictions: as `har.scoring.predict` gives them, with `features` in the column `FEATURES`.
        """
        fresh = [partition for partition in partitions if partition not in self._held]
        if not fresh:
            return
        recordings = self._recordings(fresh)
        worn = recordings.select("date", "subject", "session", "placement", "device")
        # The features are most of the bytes: they are neither joined nor parted, but taken row by row.
        narrow = predictions.select("date", "subject", "session", "activity", "confidence").with_row_index("row")
        placed = narrow.join(worn, on=["date", "subject", "session"], how="left", maintain_order="left")
        key = ["date", "subject", "placement", "device"]
        seen = placed.with_columns(pl.col("placement", "device").fill_null("")).partition_by(key, as_dict=True)
        known = recordings.partition_by(key, as_dict=True)
        features = predictions[FEATURES]
        rows = []
        for where in sorted({*seen, *known}):
            windows = seen.get(where, placed.clear())
            taken = windows["row"]
            together = len(taken) > 0 and taken[-1] - taken[0] == len(taken) - 1
            values = features[taken[0] : taken[-1] + 1] if together else features[taken]
            profile = profile_of_windows(
                windows.with_columns(values), self.features, known.get(where, recordings.clear())
            )
            rows.append(_row(where, profile, online=False, model_version=self._version))
        frame = pl.DataFrame(rows, self._lake.profiles.schema)
        self._lake.profiles.replace(frame, fresh, keep=pl.col("online") | _MERGED)

    def _recordings(self, partitions: Sequence[Partition]) -> pl.DataFrame:
        """Each session's place and quality, by date, subject and session."""
        found = self._lake.recordings.read(partitions=partitions).unique(["date", "subject", "session"], keep="last")
        hours = pl.col("samples") / (3600 * self._rate_hz) / pl.col("coverage").clip(1e-6)
        return found.sort("date", "subject", "session").select(
            "date",
            "subject",
            "session",
            pl.col("placement", "device").fill_null(""),
            "coverage",
            (pl.col("gaps") / hours.clip(_SHORTEST_H)).alias("gaps_per_h"),
            # The counts are of the file's own samples.
            *(_share(name) for name in ("saturated", "stuck")),
        )


def _share(name: str) -> pl.Expr:
    kept = pl.col("samples_read") - pl.col("duplicates") - pl.col("duplicate_stamps")
    return (pl.col(name) / pl.max_horizontal(kept, 1)).alias(name)


def profile_of_windows(
    windows: pl.DataFrame, features: Sequence[str], recordings: pl.DataFrame | None = None
) -> Profile:
    """Profile some windows.

    Args:
        windows: columns activity, confidence and `FEATURES`, an array or a list of F values.
        features: F names.
        recordings: columns coverage, gaps_per_h, saturated and stuck, one row per recording; None: none.
    """
    values = np.empty((0, len(features)), np.float32)
    if len(windows):
        values = np.asarray(windows[FEATURES].cast(pl.Array(pl.Float32, len(features))).to_numpy())
    counts = windows["activity"].value_counts(sort=True)
    quality = {}
    if recordings is not None:
        names = ("coverage", "gaps_per_h", "saturated", "stuck")
        quality = {name: recordings[name].drop_nulls().cast(pl.Float64).to_numpy() for name in names}
    return Profile.of(
        values,
        features,
        confidence=windows["confidence"].to_numpy(),
        activities=dict(counts.iter_rows()),
        quality=quality,
    )


def _row(where: tuple[Any, ...], profile: Profile, *, online: bool, model_version: int) -> dict[str, Any]:
    date, subject, placement, device = where
    return {
        "date": date,
        "subject": subject,
        "placement": placement,
        "device": device,
        "online": online,
        "days": 1,
        "windows": profile.windows,
        "month_days": None,
        "model_version": model_version,
        "profile": profile.to_bytes(),
        "made_at": dt.datetime.now(dt.UTC),
    }


def profile_online(lake: Lake, models: Mapping[int, tuple[Sequence[str], Sequence[str]]]) -> int:
    """Profile what the online service's models saw, by day and subject, where windows came since it was done last.

    A day's profile is made anew from all of its requests, so that none counts twice, whenever a run was killed. What
    the rule answered has no features and does not count.

    Args:
        lake: requests and predictions in, profiles out.
        models: per version the names of all its features, as the requests hold them, and of those to profile.

    Returns:
        How many profiles were written.

    Raises:
        MonitoringError: a request with another number of features than its version has.
    """
    key = ["date", "subject", "model_version"]
    seen = (pl.col("fallback").is_null() | (pl.col("fallback") != "rule")) & pl.col("model_version").is_in(list(models))
    own = pl.col("online") & pl.col("model_version").is_in(list(models)) & ~_MERGED
    answered = lake.requests.scan().filter(seen).group_by(key).len().collect()
    known = lake.profiles.scan().filter(own).select(*key, "windows").collect()
    late = answered.join(known, on=key, how="left").filter(pl.col("len") > pl.col("windows").fill_null(0))
    behind = sorted({*late.select("date", "subject").iter_rows()} - held(lake))
    written = 0
    for partition in behind:
        requests = lake.requests.scan(partitions=[partition]).filter(seen).select("request_id", "start", *key, FEATURES)
        predictions = lake.predictions.scan(partitions=[partition]).select(
            "request_id", "start", "activity", "confidence"
        )
        windows = requests.join(predictions, on=["request_id", "start"], how="inner").collect()
        rows = []
        for (version,), group in windows.sort("start").partition_by("model_version", as_dict=True).items():
            names, features = models[version]
            profile = profile_of_windows(_picked(group, names, features), features)
            rows.append(_row((*partition, "", ""), profile, online=True, model_version=version))
        frame = pl.DataFrame(rows, lake.profiles.schema)
        lake.profiles.replace(frame, [partition], keep=~own)
        written += len(frame)
    return written


def _picked(windows: pl.DataFrame, names: Sequence[str], features: Sequence[str]) -> pl.DataFrame:
    """The windows with those of their features alone that are profiled."""
    lengths = windows[FEATURES].list.len()
    if lengths.null_count() or (lengths != len(names)).any():
        raise MonitoringError(
            where=f"requests of {windows['date'][0]}, subject {windows['subject'][0]!r}",
            expected=f"{len(names)} features, as version {windows['model_version'][0]} has",
            got=f"{lengths.min()!r} to {lengths.max()!r}",
            remedy="Another registry's service wrote this log: collect it into the lake of its own project.",
        )
    every = windows[FEATURES].list.to_array(len(names)).to_numpy()
    places = {name: place for place, name in enumerate(names)}
    return windows.with_columns(pl.Series(FEATURES, every[:, [places[name] for name in features]]))


def profiled_by(lake: Lake, model_version: int) -> set[Partition]:
    """Partitions whose nightly profile is by this version, or that a month's profile holds."""
    own = (pl.col("model_version") == model_version) & ~pl.col("online") & ~_MERGED
    found = lake.profiles.scan().filter(own).select("date", "subject").collect()
    return {*found.iter_rows(), *held(lake)}


def subject_days(lake: Lake, date: dt.date, model_version: int | None = None) -> list[SubjectDay]:
    """What the model saw on a day, by subject, placement and device.

    Of a subject with windows scored by the nightly job, what the online service saw is left out: it is the same
    movement. A day that a month's profile holds has none of its own.

    Args:
        lake: where profiles are.
        date: the day.
        model_version: what this version saw; None: any.

    Raises:
        MonitoringError: a profile that this version cannot read.
    """
    wanted = (pl.col("date") == date) & ~_MERGED
    if model_version is not None:
        wanted &= pl.col("model_version") == model_version
    rows = of_record(lake.profiles.scan().filter(wanted).collect())
    return [
        SubjectDay(
            subject=row["subject"],
            placement=row["placement"],
            device=row["device"],
            online=row["online"],
            profile=_profile(lake, row),
        )
        for row in rows.sort("subject", "placement", "device", "online", "model_version").iter_rows(named=True)
    ]


def of_record(rows: pl.DataFrame) -> pl.DataFrame:
    """Without online rows of subjects' days that the nightly job saw windows of."""
    seen = (~pl.col("online") & (pl.col("windows") > 0)).any().over("date", "subject")
    return rows.filter(~(pl.col("online") & seen))


def profile_of(lake: Lake, first: dt.date, last: dt.date, subjects: Iterable[str] | None = None) -> Profile:
    """All that the model saw in a week, a month or longer, merged from the profiles that there are.

    Args:
        lake: where they are.
        first: the first day.
        last: the last one, included.
        subjects: theirs only; None: everybody's.

    Raises:
        MonitoringError: there are none, or the interval cuts a month that is merged.
    """
    rows = lake.profiles.scan().filter(
        pl.col("date").is_between(first.replace(day=1), last)
        if first.day > 1
        else pl.col("date").is_between(first, last)
    )
    if subjects is not None:
        rows = rows.filter(pl.col("subject").is_in(list(subjects)))
    found = rows.collect().filter(_MERGED | (pl.col("date") >= first))
    for month, days in found.filter(_MERGED).select("date", "month_days").unique().sort("date").iter_rows():
        inside = [first <= day <= last for day in _days(month, days)]
        if any(inside) and not all(inside):
            raise MonitoringError(
                where=f"profiles of {month:%Y-%m}",
                expected="whole months, for days that are long past are merged by the month (monitoring.keep_days)",
                got=f"{first} to {last}",
                remedy=f"Ask from {month} on, or from a later month's first, to a month's last.",
            )
    wanted = [
        row
        for row in of_record(found).sort("date", "subject", "placement", "device", "online").iter_rows(named=True)
        if row["days"] == 1 or first <= next(_days(row["date"], row["month_days"])) <= last
    ]
    return Profile.merge(_profile(lake, row) for row in wanted)


def held(lake: Lake) -> set[Partition]:
    """Days and subjects that only months' profiles still hold."""
    rows = lake.profiles.scan().filter(_MERGED).select("date", "subject", "month_days").unique().collect()
    return {(day, subject) for month, subject, days in rows.iter_rows() for day in _days(month, days)}


def merge_old(lake: Lake, settings: Settings) -> int:
    """Merge the profiles of months all of whose days are older than `monitoring.keep_days`; says how many rows went.

    Old is what lies so far before the newest profiled day; days to come, of a watch whose clock is wrong, make nothing
    old. One row is left per month, subject, placement, device and
    model version, and one for online windows of days without others. Each month is one commit: a run that is killed
    leaves whole months, merged or not.
    """
    dates = lake.profiles.scan().select("date").unique().collect()["date"]
    if dates.is_empty():
        return 0
    newest = newest_day(dates.to_list())
    oldest_kept = newest - dt.timedelta(days=settings.monitoring.keep_days)
    months = sorted({day.replace(day=1) for day in dates if _last(day) < oldest_kept})
    gone = sum(_merge_month(lake, month) for month in months)
    if gone:
        lake.profiles.vacuum()
    return gone


def _merge_month(lake: Lake, month: dt.date) -> int:
    key = ["subject", "placement", "device", "online", "model_version"]
    with lake.profiles.lock():
        inside = pl.col("date").is_between(month, _last(month))
        # Who has one row for a month has it merged: most months, and their profiles stay unread.
        counts = lake.profiles.scan().filter(inside).select(key).group_by(key).len().filter(pl.col("len") > 1)
        subjects = counts.collect()["subject"].unique().to_list()
        if not subjects:
            return 0
        rows = lake.profiles.scan().filter(inside & pl.col("subject").is_in(subjects)).collect()
        kept = []
        for group in _without_doubles(rows).partition_by(key, maintain_order=True):
            kept.append(group if len(group) == 1 else _merged(lake, month, group))
        frame = pl.concat(kept)
        partitions = {*rows.select("date", "subject").iter_rows(), *((month, subject) for subject in subjects)}
        lake.profiles.replace(frame, partitions)
        return len(rows) - len(frame)


def _without_doubles(rows: pl.DataFrame) -> pl.DataFrame:
    """Without online days that the nightly job saw too, if its days are going to be merged."""
    merging = (~pl.col("online")).sum().over("subject", "placement", "device", "model_version") > 1
    nightly = (merging & ~pl.col("online") & (pl.col("windows") > 0)).any().over("date", "subject")
    return rows.filter(~(pl.col("online") & nightly & ~_MERGED))


def _merged(lake: Lake, month: dt.date, group: pl.DataFrame) -> pl.DataFrame:
    days = 0
    for row in group.iter_rows(named=True):
        days |= row["month_days"] or 1 << (row["date"].day - 1)
    profile = Profile.merge(_profile(lake, row) for row in group.sort("date").iter_rows(named=True))
    return group[:1].with_columns(
        pl.lit(month).alias("date"),
        pl.lit(days.bit_count(), pl.Int32).alias("days"),
        pl.lit(days, pl.Int32).alias("month_days"),
        pl.lit(profile.windows, pl.Int64).alias("windows"),
        pl.lit(profile.to_bytes()).alias("profile"),
        pl.lit(group["made_at"].max()).cast(group.schema["made_at"]).alias("made_at"),
    )


def _profile(lake: Lake, row: dict[str, Any]) -> Profile:
    return Profile.from_bytes(row["profile"], where=f"{lake.profiles.path}, {row['date']}, subject {row['subject']}")


def _days(month: dt.date, days: int) -> Iterator[dt.date]:
    return (month.replace(day=day + 1) for day in range(31) if days >> day & 1)


def _last(day: dt.date) -> dt.date:
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])
