"""A subject's day compared with the subject's own earlier days: what differences between people hide shows here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift._calibration import Level
from har.monitoring.drift._mix import compare, day_weights, mean
from har.monitoring.drift._reference import Reference
from har.monitoring.drift.scores import Score, own_scores
from har.monitoring.profiles import ByActivity, SubjectDay
from har.settings import Drift

_COVERED = 0.5
"""Less than this share of a subject's windows with a history of their placement and device is no comparison."""
_COMPARABLE = 3
"""From this number of days on, a history shows how much its own days differ."""


@dataclass(frozen=True, eq=False)
class OwnDay:
    """A quiet day of a subject's own history, at one placement with one device."""

    subject: str
    day: dt.date
    placement: str
    device: str
    by_activity: ByActivity


@dataclass(frozen=True, eq=False)
class OwnScores:
    """A subject's day against the subject's own history.

    Attributes:
        values: each feature's scores, by the score's name, float64 (F,); with a sign where the score has one.
        raised: by what factor the history's own days raise the level of each feature, float64 (F,), 1 at least.
        windows: of the day that were compared.
        days: of the history; the least of its placements and devices.
        day, history: means of the features with the same mix of activities, float64 (F,).
    """

    values: dict[str, NDArray[np.float64]]
    raised: dict[str, NDArray[np.float64]]
    windows: int
    days: int
    day: NDArray[np.float64]
    history: NDArray[np.float64]


def is_complete(history: Sequence[OwnDay], settings: Drift) -> bool:
    """Whether these days, of one placement and device, are enough to compare a day with; no more are added then."""
    enough = sum(one.by_activity.windows for one in history) >= settings.own_history_windows
    return bool(settings.own_history_days) and enough and _days(history) >= settings.own_history_days


def compare_own(
    reference: Reference, days: Sequence[SubjectDay], history: Sequence[OwnDay], settings: Drift
) -> OwnScores | None:
    """Compare a subject's day with the subject's own history; None: there is none yet, or it knows other activities.

    Args:
        reference: of the model.
        days: the subject's profiles of the day.
        history: the subject's quiet days before it.
        settings: how long a history is.
    """
    if not reference.own:
        return None
    parts = []
    for where in sorted({(one.placement, one.device) for one in days}):
        today = [one.by_activity for one in days if (one.placement, one.device) == where]
        own = [one for one in history if (one.placement, one.device) == where and _is_of(reference, one.by_activity)]
        counted = [one for one in today if one is not None and _is_of(reference, one)]
        if is_complete(own, settings) and counted:
            part = _compare_part(reference, counted, own)
            if part is not None:
                parts.append(part)
    total = sum(one.by_activity.windows for one in days if one.by_activity is not None)
    windows = sum(part.windows for part in parts)
    if not parts or windows < _COVERED * total:
        return None
    weights = np.array([part.windows for part in parts]) / windows
    names = [name for name in parts[0].values if all(name in part.values for part in parts)]
    return OwnScores(
        values={name: weights @ np.stack([part.values[name] for part in parts]) for name in names},
        raised={name: weights @ np.stack([part.raised[name] for part in parts]) for name in names},
        windows=windows,
        days=min(part.days for part in parts),
        day=weights @ np.stack([part.day for part in parts]),
        history=weights @ np.stack([part.history for part in parts]),
    )


def _compare_part(reference: Reference, today: Sequence[ByActivity], history: Sequence[OwnDay]) -> OwnScores | None:
    """One placement and device."""
    days = [_together(reference, [one.by_activity]) for one in history]
    counts, sums = _together(reference, today)
    past, past_sums = _together(reference, [one.by_activity for one in history])
    weights = day_weights(counts, past)
    if weights is None:
        return None
    known = [score for score in own_scores() if score.name in reference.own]
    return OwnScores(
        values={score.name: compare(score, counts, past, weights) for score in known},
        raised={score.name: _raised(score, reference.own[score.name], [one for one, _ in days]) for score in known},
        windows=sum(one.windows for one in today),
        days=_days(history),
        day=mean(sums, counts, weights),
        history=mean(past_sums, past, weights),
    )


def _raised(score: Score, level: Level, days: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """By how much the history's days differ more among themselves than the level expects, (F,), 1 at least.

    Each day is compared with the others as a new day would be. The reference's recordings may be of one session each;
    days differ more, by the strap and the weather, and a level that does not know it would alarm every day.
    """
    over = []
    together = np.sum(days, axis=0)
    for day in days if len(days) >= _COMPARABLE else []:
        weights = day_weights(day, together - day)
        if weights is not None:
            windows = int(day.sum(-1).max(1).sum())
            over.append(level.relative(compare(score, day, together - day, weights), windows))
    return np.maximum(1.0, np.mean(over, axis=0)) if over else np.ones(len(level.families))


def _together(reference: Reference, parts: Sequence[ByActivity]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Counts (K, F, B) and sums (K, F) of all of them, over the activities that the model can answer."""
    each = [part.on(reference.activities) for part in parts]
    return np.sum([counts for counts, _ in each], axis=0), np.sum([sums for _, sums in each], axis=0)


def _is_of(reference: Reference, counted: ByActivity) -> bool:
    """Whether the windows were counted in this reference's bins."""
    return counted.edges_id == reference.bins.id


def _days(history: Sequence[OwnDay]) -> int:
    return len({one.day for one in history})
