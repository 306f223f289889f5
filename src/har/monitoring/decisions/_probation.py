"""Probation of a promoted model: it and the one before it answer the windows of the days since the promotion."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.cutting import cut_day, signal_rule
from har.dataset import window_labels
from har.errors import RegistryError
from har.evaluation import bootstrap_mean, percent
from har.inference import Classifier
from har.lake import Lake, Partition
from har.monitoring.drift import REFERENCE, DayReport, DriftReports, Reference, watch_day
from har.monitoring.profiles import Profile, SubjectDay
from har.registry import Registry
from har.settings import Settings

LAKE_TO = "lake_to"
"""Key of a promotion's figures: the newest day of the lake at that time, as an ISO date."""
MOST_WINDOWS = 5000
"""At most this many windows are compared per run; a subject-day is not split, so the last one may exceed it."""
_BATCH = 256


@dataclass(frozen=True)
class ProbationVerdict:
    """How a promoted model compares with its predecessor, on the same windows.

    Attributes:
        version: the promoted one.
        former: the one before it.
        since: newest day of the lake when it was promoted; only later days count.
        days: judged days so far.
        windows: that both answered.
        labelled: those of them that have a label.
        rollback: it did worse than its predecessor.
        reasons: in sentences, with figures.
        accuracy: of the promoted model and of its predecessor; None without enough labels.
        confidence: mean confidence of each.
        score: mean drift score of each against its own reference; None where no day could be judged.
    """

    version: int
    former: int
    since: dt.date
    days: int
    windows: int
    labelled: int
    rollback: bool
    reasons: tuple[str, ...]
    accuracy: tuple[float, float] | None
    confidence: tuple[float, float]
    score: tuple[float, float] | None


@dataclass(frozen=True)
class Promoted:
    """The champion's promotion: its version, the one before it, and the newest day of the lake at that time."""

    version: int
    former: int
    since: dt.date


@dataclass(frozen=True)
class _Model:
    """A version and its answers, one row per window: the activity's name, its confidence, its profiled features."""

    version: int
    reference: Reference | None
    activities: NDArray[np.str_]
    confidence: NDArray[np.float32]
    features: NDArray[np.float32]


def last_promotion(registry: Registry) -> Promoted | None:
    """The promotion that made the champion; None for the first champion, or after a rollback or another change.

    A promotion by hand records no day of the lake; the newest day that the version was trained on is taken instead.
    """
    moves = [move for move in registry.log() if move.champion_before != move.champion_after]
    if not moves or moves[-1].action != "promote" or moves[-1].champion_before is None:
        return None
    move = moves[-1]
    since = move.figures.get(LAKE_TO) or registry.version(move.version).tags.get("trained_to")
    if not since:
        return None
    return Promoted(move.version, moves[-1].champion_before, dt.date.fromisoformat(since))


def watch_probation(
    lake: Lake, settings: Settings, registry: Registry, report: DayReport, *, most: int = MOST_WINDOWS
) -> ProbationVerdict | None:
    """Compare the champion with its predecessor on the days since its promotion, up to a report's.

    Both answer the same windows, of whole subject-days: those with labels first, then the newest. The champion fails
    if any of these holds:

    * accuracy on labelled windows lies more than `retraining.accuracy_drop` below its predecessor's, and not by
      chance: the upper bound (95 %, one-sided, paired bootstrap over subjects) of the difference is below 0. With
      fewer than three subjects the difference decides; fewer than `drift.min_windows` windows say nothing.
    * its mean confidence lies more than `retraining.confidence_drop` below.
    * drift against its own reference is confirmed, and is larger than its predecessor's against that one's.

    Returns:
        None where no probation runs: no promotion, no judged day since, more than `retraining.probation_days` of them,
        or a predecessor that needs other windows.
    """
    promoted = last_promotion(registry)
    if promoted is None or report.model_version != promoted.version:
        return None
    days, since = settings.retraining.probation_days, promoted.since
    # One day more than the probation has tells that it is over.
    earlier = DriftReports(lake).judged_before(report.date, promoted.version, days + 1, after=since)
    judged = {one.date: one for one in [*earlier, report] if one.judged and one.date > since}
    if not judged or len(judged) > days:
        return None
    models = [Classifier(registry.model_path(number)) for number in (promoted.version, promoted.former)]
    if any(not _takes(model, settings) for model in models):
        return None
    labels = window_labels(lake, settings, partitions=_days(lake, list(judged)))
    chosen = _chosen(lake, list(judged), labels, most)
    frame, windows = _windows(lake, settings, chosen)
    if not len(frame):
        return None
    champion, former = (
        _answer(model, number, _reference(registry, number), windows)
        for model, number in zip(models, (promoted.version, promoted.former), strict=True)
    )
    return _verdict(promoted, settings, _Windows.of(frame, labels), (champion, former), judged)


@dataclass(frozen=True)
class _Windows:
    """The windows that both models answered.

    Attributes:
        places: date, subject, session and start of each.
        truth: the true activity of each, null where it is not known.
    """

    places: pl.DataFrame
    truth: pl.Series

    @classmethod
    def of(cls, places: pl.DataFrame, labels: pl.DataFrame) -> _Windows:
        """Windows at these places, with those of the labels that are theirs."""
        key = ["date", "subject", "session", "start"]
        return cls(places, places.join(labels, on=key, how="left", maintain_order="left")["activity"])

    @property
    def labelled(self) -> NDArray[np.intp]:
        """Which have a label, as row numbers."""
        return np.flatnonzero(self.truth.is_not_null().to_numpy())


@dataclass(frozen=True)
class _Check:
    """One comparison of the promoted model with the former one: both figures, whether it fails, and a sentence."""

    figures: tuple[float, float]
    failed: bool
    reason: str


def _verdict(
    promoted: Promoted,
    settings: Settings,
    windows: _Windows,
    models: tuple[_Model, _Model],
    judged: dict[dt.date, DayReport],
) -> ProbationVerdict:
    accuracy = _accuracy(settings, windows, models)
    confidence = _confidence(settings, windows, models)
    drift = _drift(settings, windows, models, confirmed=judged[max(judged)].confirmed)
    checks = [check for check in (accuracy, confidence, drift) if check is not None]
    failed = any(check.failed for check in checks)
    days = f"{len(judged)} judged day{'' if len(judged) == 1 else 's'}"
    summary = (
        f"Version {promoted.version} {'fails' if failed else 'holds'} its probation beside version {promoted.former} "
        f"after {days}."
    )
    return ProbationVerdict(
        version=promoted.version,
        former=promoted.former,
        since=promoted.since,
        days=len(judged),
        windows=len(windows.places),
        labelled=len(windows.labelled),
        rollback=failed,
        reasons=(summary, *(check.reason for check in checks)),
        accuracy=accuracy.figures if accuracy else None,
        confidence=confidence.figures,
        score=drift.figures if drift else None,
    )


def _accuracy(settings: Settings, windows: _Windows, models: tuple[_Model, _Model]) -> _Check | None:
    """Accuracy on the labelled windows; None with too few of them."""
    rows, drop = windows.labelled, settings.retraining.accuracy_drop
    days = sorted(set(windows.places["date"].gather(rows).to_list()))
    if len(rows) < settings.drift.min_windows:
        return None
    truth = windows.truth.to_numpy()[rows].astype(str)
    right = [model.activities[rows] == truth for model in models]
    ours, theirs = float(right[0].mean()), float(right[1].mean())
    gained = right[0].astype(np.float64) - right[1]
    high = bootstrap_mean(gained, windows.places["subject"].to_numpy()[rows].astype(str), (95.0,))
    failed = ours - theirs < -drop and (high is None or high[0] < 0)
    reason = (
        f"Accuracy {percent(ours)} against the former champion's {percent(theirs)} on {len(rows)} labelled windows of "
        f"{days[0]}{f' to {days[-1]}' if len(days) > 1 else ''}{_against(failed, drop)}."
    )
    return _Check((ours, theirs), failed, reason)


def _confidence(settings: Settings, windows: _Windows, models: tuple[_Model, _Model]) -> _Check:
    """Mean confidence on all windows."""
    ours, theirs = (float(model.confidence.mean()) for model in models)
    drop = settings.retraining.confidence_drop
    failed = ours - theirs < -drop
    reason = (
        f"Mean confidence {percent(ours)} against {percent(theirs)} on {len(windows.places)} windows"
        f"{_against(failed, drop)}."
    )
    return _Check((ours, theirs), failed, reason)


def _drift(settings: Settings, windows: _Windows, models: tuple[_Model, _Model], *, confirmed: bool) -> _Check | None:
    """Drift of each against its own reference; None where no day could be judged."""
    scores = _scores(settings, windows.places, models)
    if scores is None:
        return None
    failed = confirmed and scores[0] > scores[1]
    reason = (
        f"Drift score {scores[0]:.2f} against its own reference ({'confirmed' if confirmed else 'not confirmed'}), the "
        f"former champion's {scores[1]:.2f} against that one's{': worse' if failed else ''}."
    )
    return _Check(scores, failed, reason)


def _scores(settings: Settings, frame: pl.DataFrame, models: tuple[_Model, _Model]) -> tuple[float, float] | None:
    """Mean score of each model over the days that both can judge."""
    found: list[list[float]] = [[], []]
    for (date,), rows in frame.with_row_index("row").group_by("date", maintain_order=True):
        scores = []
        for model in models:
            if model.reference is None:
                return None
            days = [
                SubjectDay(str(subject), "", "", False, _profile(model, model.reference, own["row"].to_numpy()))
                for (subject,), own in rows.group_by("subject", maintain_order=True)
            ]
            day = watch_day(date, model.version, model.reference, days, [], settings.drift)
            scores.append(day.score if day.judged else None)
        if scores[0] is not None and scores[1] is not None:
            found[0].append(scores[0])
            found[1].append(scores[1])
    return (float(np.mean(found[0])), float(np.mean(found[1]))) if found[0] else None


def _profile(model: _Model, reference: Reference, rows: NDArray[np.integer]) -> Profile:
    return Profile.of(
        model.features[rows],
        reference.features,
        confidence=model.confidence[rows],
        activities=Counter(model.activities[rows].tolist()),
    )


def _answer(model: Classifier, version: int, reference: Reference | None, windows: NDArray[np.float32]) -> _Model:
    names = model.metadata.feature_names
    columns = np.array([names.index(name) for name in (reference.features if reference else ())], np.intp)
    probabilities, features, _ = model.predict_each(_batches(windows), features=columns)
    return _Model(
        version=version,
        reference=reference,
        activities=np.array(model.metadata.activities)[probabilities.argmax(axis=1)],
        confidence=probabilities.max(axis=1),
        features=features,
    )


def _batches(windows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    return (windows[first : first + _BATCH] for first in range(0, len(windows), _BATCH))


def _windows(lake: Lake, settings: Settings, chosen: Sequence[Partition]) -> tuple[pl.DataFrame, NDArray[np.float32]]:
    """Date, subject, session and start of each window with a signal, and the windows, float32 (N, T, C)."""
    rule = signal_rule(settings)
    places = [pl.DataFrame(schema={name: lake.predictions.schema[name] for name in ("date", "subject")})]
    batches = [np.empty((0, settings.length, len(lake.channels)), np.float32)]
    columns = ["session", "segment", "time", *lake.channels]
    for partition, samples in lake.samples.each(None, chosen, columns):
        found, where = cut_day(partition, samples, settings, lake.channels)
        every = found.batch()
        measured = ~rule.absent(every)
        batches.append(every[measured])
        places.append(where.filter(measured))
    return pl.concat(places, how="diagonal"), np.concatenate(batches)


def _chosen(lake: Lake, days: Sequence[dt.date], labels: pl.DataFrame, most: int) -> list[Partition]:
    """Subject-days to be answered: those with labels first, then the newest; a date's in a fixed arbitrary order."""
    labelled = set(labels.select("date", "subject").rows())
    sizes = lake.scores.read(partitions=_days(lake, days), columns=["date", "subject", "windows"])
    counts: dict[Partition, int] = {(date, subject): windows for date, subject, windows in sizes.iter_rows()}

    def order(partition: Partition) -> tuple[bool, int, str]:
        date, subject = partition
        return partition not in labelled, -date.toordinal(), hashlib.sha256(f"{date} {subject}".encode()).hexdigest()

    taken: list[Partition] = []
    total = 0
    for partition in sorted(_days(lake, days), key=order):
        if total >= most:
            break
        taken.append(partition)
        total += counts.get(partition, 0)
    return sorted(taken)


def _days(lake: Lake, days: Sequence[dt.date]) -> list[Partition]:
    return [partition for partition in lake.samples.partitions() if partition[0] in days]


def _takes(model: Classifier, settings: Settings) -> bool:
    """Whether the model takes this project's windows; an older one may have been made for other windows."""
    known = model.metadata
    wanted = settings.model_input
    return all(getattr(known, name) == wanted[name] for name in ("channels", "units", "rate_hz", "length"))


def _reference(registry: Registry, version: int) -> Reference | None:
    """The version's reference; None if it was registered without one: the former model may be older than monitoring."""
    try:
        path: Path = registry.artifact(version, REFERENCE)
    except RegistryError:
        return None
    return Reference.read(path)


def _against(fell: bool, drop: float) -> str:
    return f", more than {100 * drop:.0f} points below" if fell else ""
