"""A promoted model beside the one before it, on the days since: does it keep what its promotion promised?"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.dataset import matrix, run_ids, window_labels
from har.errors import RegistryError
from har.inference import Classifier
from har.lake import Lake, Partition
from har.monitoring.decisions._log import reports
from har.monitoring.decisions._truth import bounds
from har.monitoring.drift._day import DayReport
from har.monitoring.drift._reference import Reference
from har.monitoring.drift._watch import SubjectDay, watch_day
from har.monitoring.profiles._profile import Profile
from har.registry import Registry
from har.settings import Settings
from har.windows import cut

LAKE_TO = "lake_to"
"""A promotion's figure: the newest day of the lake at that time, as an ISO date."""
MOST_WINDOWS = 5000
"""So many windows are answered by both models each day, and at most one subject-day more."""
_BATCH = 256


@dataclass(frozen=True)
class ProbationVerdict:
    """How a promoted model does beside its predecessor, on the same windows.

    Attributes:
        version: the promoted one.
        former: the one before it.
        since: newest day of the lake when it was promoted; the days after it count.
        days: judged days so far.
        windows: that both answered.
        labelled: those of them that have a label.
        rollback: it fell under its predecessor.
        reasons: in sentences, with figures.
        accuracy: of the promoted model and of its predecessor; None without enough labels.
        confidence: mean of either.
        score: mean drift score of either against its own reference; None where no day could be judged.
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
    """A version with what it answered: its activity's name, its confidence and its features, one row per window."""

    version: int
    reference: Reference | None
    activities: NDArray[np.str_]
    confidence: NDArray[np.float32]
    features: NDArray[np.float32]


def last_promotion(registry: Registry) -> Promoted | None:
    """The promotion that made the champion; None if it is the first one, or came by a rollback or by other means.

    A promotion by hand records no day of the lake: then it is the newest that the version was trained on.
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
    by any of these:

    * accuracy on labelled windows lies more than `retraining.accuracy_drop` below its predecessor's, and not by
      chance: the upper bound (95 %, one-sided, paired bootstrap over subjects) of the difference is below 0. With
      fewer than three subjects the difference decides; fewer than `drift.min_windows` windows say nothing.
    * its mean confidence lies more than `retraining.confidence_drop` below.
    * drift against its own reference is confirmed, and is larger than its predecessor's against that one's.

    Returns:
        None where no probation runs: no promotion, no judged day since, more than `retraining.probation_days` of them,
        or a predecessor that takes other windows.
    """
    promoted = last_promotion(registry)
    if promoted is None or report.model_version != promoted.version:
        return None
    judged = {
        one.date: one
        for one in [*reports(lake, model_version=promoted.version, before=report.date), report]
        if one.judged and one.date > promoted.since
    }
    if not judged or len(judged) > settings.retraining.probation_days:
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
    return _judge(promoted, settings, frame, labels, (champion, former), judged)


def _judge(
    promoted: Promoted,
    settings: Settings,
    frame: pl.DataFrame,
    labels: pl.DataFrame,
    models: tuple[_Model, _Model],
    judged: dict[dt.date, DayReport],
) -> ProbationVerdict:
    champion, former = models
    limits = settings.retraining
    reasons, failed = [], []
    key = ["date", "subject", "session", "start"]
    truth = frame.join(labels, on=key, how="left", maintain_order="left")["activity"]
    known = np.flatnonzero(truth.is_not_null().to_numpy())
    accuracy = None
    if len(known) >= settings.drift.min_windows:
        right = [model.activities[known] == truth.to_numpy()[known].astype(str) for model in models]
        accuracy = (float(right[0].mean()), float(right[1].mean()))
        gained = right[0].astype(np.float64) - right[1]
        high = bounds(gained, frame["subject"].to_numpy()[known].astype(str), (95.0,))
        fell = accuracy[0] - accuracy[1] < -limits.accuracy_drop and (high is None or high[0] < 0)
        failed.append(fell)
        reasons.append(
            f"Accuracy {_percent(accuracy[0])} against the former champion's {_percent(accuracy[1])} on {len(known)} "
            f"labelled windows{_against(fell, limits.accuracy_drop)}."
        )
    confidence = (float(champion.confidence.mean()), float(former.confidence.mean()))
    fell = confidence[0] - confidence[1] < -limits.confidence_drop
    failed.append(fell)
    reasons.append(
        f"Mean confidence {_percent(confidence[0])} against {_percent(confidence[1])} on {len(frame)} windows"
        f"{_against(fell, limits.confidence_drop)}."
    )
    score = _scores(settings, frame, models)
    if score is not None:
        fell = judged[max(judged)].confirmed and score[0] > score[1]
        failed.append(fell)
        state = "confirmed" if judged[max(judged)].confirmed else "not confirmed"
        reasons.append(
            f"Drift score {score[0]:.2f} against its own reference ({state}), the former champion's {score[1]:.2f} "
            f"against that one's{': worse' if fell else ''}."
        )
    outcome = "fails" if any(failed) else "holds"
    days = f"{len(judged)} judged day{'' if len(judged) == 1 else 's'}"
    told = f"Version {promoted.version} {outcome} its probation beside version {promoted.former} after {days}."
    return ProbationVerdict(
        version=promoted.version,
        former=promoted.former,
        since=promoted.since,
        days=len(judged),
        windows=len(frame),
        labelled=len(known),
        rollback=any(failed),
        reasons=(told, *reasons),
        accuracy=accuracy,
        confidence=confidence,
        score=score,
    )


def _scores(settings: Settings, frame: pl.DataFrame, models: tuple[_Model, _Model]) -> tuple[float, float] | None:
    """Mean score of either model over the days that both can judge."""
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
    columns = [names.index(name) for name in (reference.features if reference else ())]
    answers = [model.predict(windows[first : first + _BATCH]) for first in range(0, len(windows), _BATCH)]
    probabilities = np.concatenate([answer.probabilities for answer in answers])
    return _Model(
        version=version,
        reference=reference,
        activities=np.array(model.metadata.activities)[probabilities.argmax(axis=1)],
        confidence=probabilities.max(axis=1),
        features=np.concatenate([answer.features[:, columns] for answer in answers]),
    )


def _windows(lake: Lake, settings: Settings, chosen: Sequence[Partition]) -> tuple[pl.DataFrame, NDArray[np.float32]]:
    """Place of each window (date, subject, session, start), and the windows, float32 (N, T, C)."""
    places = [pl.DataFrame(schema={name: lake.predictions.schema[name] for name in ("date", "subject")})]
    batches = [np.empty((0, settings.length, len(lake.channels)), np.float32)]
    columns = ["session", "segment", "time", *lake.channels]
    for (date, subject), samples in lake.samples.each(None, chosen, columns):
        ordered = samples.sort("session", "time")
        found = cut(matrix(ordered, lake.channels), run_ids(ordered), length=settings.length, stride=settings.stride)
        batches.append(found.batch())
        where = (pl.lit(date, pl.Date).alias("date"), pl.lit(subject).alias("subject"))
        places.append(ordered.select(*where, "session", pl.col("time").alias("start"))[found.starts])
    return pl.concat(places, how="diagonal"), np.concatenate(batches)


def _chosen(lake: Lake, days: Sequence[dt.date], labels: pl.DataFrame, most: int) -> list[Partition]:
    """Subject-days to be answered: those with labels, then the newest; of one date in an order of no meaning."""
    labelled = set(labels.select("date", "subject").rows())
    sizes = lake.scores.scan(partitions=_days(lake, days)).select("date", "subject", "windows").collect()
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
    """Whether the model takes this project's windows; an older one may have been made for others."""
    known = model.metadata
    wanted = settings.model_input
    return all(getattr(known, name) == wanted[name] for name in ("channels", "units", "rate_hz", "length"))


def _reference(registry: Registry, version: int) -> Reference | None:
    """The version's reference; None if it was registered without one, which is no fault of the champion."""
    try:
        path: Path = registry.artifact(version, "reference.json")
    except RegistryError:
        return None
    return Reference.read(path)


def _against(fell: bool, drop: float) -> str:
    return f", more than {100 * drop:.0f} points below" if fell else ""


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
