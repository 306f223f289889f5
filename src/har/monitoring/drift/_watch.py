"""A day's profiles and the model's reference to the day's report; a pure function without lake or clock.

A subject's day scores as high as its worst quantity, against the reference or against the subject's own history.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np

from har.errors import MonitoringError
from har.monitoring.drift._bins import ACTIVITY
from har.monitoring.drift._diagnosis import diagnose, verdict
from har.monitoring.drift._judge import Judged, by_subject, judge
from har.monitoring.drift._own import OwnDay
from har.monitoring.drift._reference import Reference
from har.monitoring.drift._report import (
    By,
    DayReport,
    Distribution,
    FeatureScore,
    Kind,
    Performance,
    SliceScore,
    columns_of,
)
from har.monitoring.drift.scores import scores
from har.monitoring.profiles import CONFIDENCE, Profile, QualityAlarm, SubjectDay
from har.settings import Drift

_WORST = 5


def watch_day(
    date: dt.date,
    model_version: int,
    reference: Reference,
    days: Sequence[SubjectDay],
    history: Sequence[DayReport],
    settings: Drift,
    *,
    own: Sequence[OwnDay] = (),
    performance: Performance | None = None,
    quality: Sequence[QualityAlarm] = (),
) -> DayReport:
    """Judge one day.

    Args:
        date: the day.
        model_version: the model that saw it.
        reference: of this version.
        days: the day's profiles; one subject may have several.
        history: earlier reports; those of another version or of later dates do not count.
        settings: when a day alarms, and when drift is confirmed.
        own: quiet days of the subjects' own histories; later ones than the day do not count.
        performance: is copied into the report.
        quality: is copied into the report.

    Raises:
        MonitoringError: a profile of other features than the reference's.
    """
    for day in days:
        _check(reference, day)
    enough = _with_enough(days, settings)
    earlier = [one for one in own if one.day < date]
    seen = by_subject(reference, enough, earlier, settings)
    judged = len(seen) >= settings.min_subjects
    subjects = {name: judge(reference, [one], settings.false_alarms) for name, one in seen.items()}
    everyone = judge(reference, list(seen.values()), settings.false_alarms) if seen else None
    alarming = [name for name, one in subjects.items() if one.score >= 1]
    needed = max(settings.min_subjects, _too_many(len(subjects), settings.false_alarms))
    # A judged day has subjects, so `everyone` is not None.
    alarmed = judged and everyone is not None and (everyone.score >= 1 or len(alarming) >= needed)
    confirmed, since = _persistent(date, model_version, judged, alarmed, history, settings)
    slices = _slices(reference, enough, earlier, subjects, everyone, settings)
    features = _features(reference, everyone, [day.profile for day in enough]) if everyone else ()
    diagnosis = diagnose(features, slices) if alarmed else ""
    own_subjects = sum(one.own is not None for one in seen.values())
    return DayReport(
        date=date,
        model_version=model_version,
        subjects=len(seen),
        windows=sum(one.windows for one in seen.values()),
        judged=judged,
        score=everyone.score if everyone else 0.0,
        alarmed=alarmed,
        confirmed=confirmed,
        since=since,
        features=features,
        distributions=_distributions(reference, everyone, features) if everyone else (),
        slices=slices,
        quality=tuple(quality),
        performance=performance,
        diagnosis=diagnosis,
        verdict=verdict(
            judged=judged,
            alarmed=alarmed,
            confirmed=confirmed,
            since=since,
            subjects=len(seen),
            alarming=len(alarming),
            diagnosis=diagnosis,
            own_subjects=own_subjects,
            settings=settings,
        ),
        scores=columns_of(scores()),
        own_subjects=own_subjects,
    )


def _check(reference: Reference, day: SubjectDay) -> None:
    missing = [name for name in (*reference.features, CONFIDENCE) if name not in day.profile.names]
    unknown = [name for name in day.profile.activities if name not in reference.activities]
    if missing or unknown:
        raise MonitoringError(
            where=f"profile of {day.subject}",
            expected=f"the {len(reference.features)} features and {len(reference.activities)} activities of the "
            "reference",
            got=f"none called {missing[0]!r}" if missing else f"another activity, {unknown[0]!r}",
            remedy="Score the day with the model that the reference belongs to: har score --rescore.",
        )


def _with_enough(days: Sequence[SubjectDay], settings: Drift) -> list[SubjectDay]:
    windows: dict[str, int] = {}
    for day in days:
        windows[day.subject] = windows.get(day.subject, 0) + day.profile.windows
    return [day for day in days if windows[day.subject] >= settings.min_windows]


def _too_many(subjects: int, false_alarms: float) -> int:
    """The least number of alarmed subjects that is rarer than `false_alarms` when each alarms that often by chance."""
    from scipy.special import bdtr  # takes 0.15 s, so it is imported where it is used

    at_most = bdtr(np.arange(subjects + 1), subjects, false_alarms)
    return int(np.searchsorted(at_most, 1.0 - false_alarms)) + 1


def _persistent(
    date: dt.date,
    model_version: int,
    judged: bool,
    alarmed: bool,
    history: Sequence[DayReport],
    settings: Drift,
) -> tuple[bool, dt.date | None]:
    """Whether drift is confirmed, and since when; a day that is not judged changes neither."""
    known = {one.date: one for one in history if one.model_version == model_version and one.date < date and one.judged}
    earlier = [known[day] for day in sorted(known)]
    recent = [(one.date, one.alarmed) for one in earlier] + ([(date, alarmed)] if judged else [])
    alarms = [day for day, alarm in recent[-settings.of_days :] if alarm]
    if len(alarms) < settings.days:
        return False, None
    before = earlier[-1] if earlier else None
    if before is not None and before.confirmed and before.since is not None:
        return True, before.since
    return True, alarms[0]


def _slices(
    reference: Reference,
    days: Sequence[SubjectDay],
    own: Sequence[OwnDay],
    subjects: dict[str, Judged],
    everyone: Judged | None,
    settings: Drift,
) -> tuple[SliceScore, ...]:
    if everyone is None:
        return ()
    found = [_slice("subject", name, one, reference) for name, one in subjects.items()]
    for by in ("placement", "device"):
        values = sorted({getattr(day, by) for day in days})
        if len(values) < 2:
            continue
        for value in values:
            seen = by_subject(reference, [day for day in days if getattr(day, by) == value], own, settings)
            part = [one for one in seen.values() if one.windows >= settings.min_windows]
            if part:
                found.append(_slice(by, value, judge(reference, part, settings.false_alarms), reference))
    found.sort(key=lambda one: -one.score)
    return (_slice("everyone", "everyone", everyone, reference), *found)


def _slice(by: By, name: str, judged: Judged, reference: Reference) -> SliceScore:
    order = np.argsort(-np.where(judged.counted, judged.scores, -1.0), kind="stable")
    reached = max(1, int((judged.scores[judged.counted] >= 1).sum()))
    return SliceScore(
        by=by,
        name=name,
        subjects=judged.subjects,
        windows=judged.windows,
        score=judged.score,
        alarmed=judged.score >= 1,
        worst=tuple(reference.quantities[index] for index in order[: min(reached, _WORST)]),
        own=judged.own_score,
        own_days=judged.own_days,
    )


def _features(reference: Reference, everyone: Judged, profiles: Sequence[Profile]) -> tuple[FeatureScore, ...]:
    weights = [profile.windows for profile in profiles]
    values = {score.name: score.formula(everyone.shares, everyone.reference) for score in scores()}
    rows = []
    for index, name in enumerate(reference.quantities):
        shift, spread = _moved(reference, everyone, profiles, weights, index)
        kind: Kind = "activity" if name.startswith(ACTIVITY) else "confidence" if name == CONFIDENCE else "input"
        score = float(everyone.scores[index])
        rows.append(
            FeatureScore(
                name=name,
                kind=kind,
                values={score: float(found[index]) for score, found in values.items()},
                shift=shift,
                spread=spread,
                score=score,
                alarmed=score >= 1,
                **_own_moves(reference, everyone, index),
            )
        )
    return tuple(sorted(rows, key=lambda row: -row.score))


def _own_moves(reference: Reference, everyone: Judged, index: int) -> dict[str, float | None]:
    """A feature's score and shift against the own histories, and of a sensor's magnitude the relative change."""
    if everyone.own is None or everyone.day is None or everyone.history is None or index >= len(reference.features):
        return {}
    moved = float(everyone.day[index] - everyone.history[index])
    before = float(everyone.history[index])
    magnitude = reference.features[index].endswith("_norm.mean") and before > 0
    return {
        "own": float(everyone.own[index]),
        "own_shift": moved / max(float(reference.deviation[index]), 1e-9),
        "own_change": moved / before if magnitude else None,
    }


def _moved(
    reference: Reference, everyone: Judged, profiles: Sequence[Profile], weights: Sequence[int], index: int
) -> tuple[float, float]:
    """Shift in the reference's standard deviations and spread over the reference's; for an activity, of its share."""
    if index > len(reference.features):
        day, expected = everyone.shares[index, 0], everyone.reference[index, 0]
        return float((day - expected) / max(np.sqrt(expected * (1 - expected)), 0.01)), 1.0
    # Merging sketches thins them at random; the mean of their quantiles is the same in every run.
    quartiles = np.array([profile.quantiles(reference.quantities[index], (0.25, 0.5, 0.75)) for profile in profiles])
    known = np.isfinite(quartiles[:, 1])
    if not known.any():
        return 0.0, 1.0
    low, median, high = np.average(quartiles[known], axis=0, weights=np.array(weights)[known])
    deviation = max(float(reference.deviation[index]), 1e-9)
    return float((median - reference.median[index]) / deviation), float(
        (high - low) / max(float(reference.spread[index]), 1e-9)
    )


def _distributions(
    reference: Reference, everyone: Judged, features: Sequence[FeatureScore]
) -> tuple[Distribution, ...]:
    """Of the worst numeric quantities; values beyond the reference's extremes are counted in its outermost bins."""
    found = []
    for name in [one.name for one in features if one.kind != "activity"][:_WORST]:
        index = reference.quantities.index(name)
        inner = []
        for rows in (everyone.reference, everyone.shares):
            row = rows[index]
            inner.append((float(row[0] + row[1]), *map(float, row[2:-2]), float(row[-2] + row[-1])))
        found.append(Distribution(name, tuple(map(float, reference.edges[index])), inner[0], inner[1]))
    return tuple(found)
