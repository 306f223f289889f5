"""Learns from the reference subjects the level at which a day alarms against the subject's own history.

Each reference subject's windows are dealt into two halves, of which one imitates the history, and the days are drawn
from the other, by turns. Where a subject was recorded on several dates, the halves are of different dates, which shows
how much days differ; else of different recordings; and where each activity has one recording only, they are the first
and the second part of each recording, which differ less than days do. A history whose own days differ more than that
raises its level again (`Level.relative`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift._bins import BINS
from har.monitoring.drift._calibration import GRID, MOST_SUBJECTS, Level, draw, level_of
from har.monitoring.drift._mix import compare, day_weights
from har.monitoring.drift.scores import own_scores

DRAWS = 6
"""Simulated days per subject, half and number of windows."""
OWN_VARIATION = 0.5
"""Prior for how much a subject's largest score within a family varies between subjects and days, over its mean: 0.3 to
0.6 on three sets. It is smaller than between strangers, and the score grows in proportion, not like a square."""
_FEWEST = 2


@dataclass(frozen=True, eq=False)
class OwnWindows:
    """A reference subject's windows.

    Attributes:
        codes: the bin of each feature, uint8 (N, F).
        answers: per window the place of the predicted activity, (N,).
        recordings: which recording each window is from, (N,); windows of one recording are adjacent and in order.
        dates: on which date, (N,); None: unknown.
    """

    codes: NDArray[np.uint8]
    answers: NDArray[np.integer]
    recordings: NDArray[np.integer]
    dates: NDArray[np.datetime64] | None


def calibrate_own(
    subjects: Sequence[OwnWindows], families: Sequence[str], activities: int, *, random: np.random.Generator
) -> dict[str, Level]:
    """Learn the level of every score by which days alarm against the subject's own history.

    Args:
        subjects: the reference subjects.
        families: per feature the family that it belongs to, (F,).
        activities: how many the model can answer.
        random: draws the days.

    Returns:
        The levels by the score's name; none if fewer than two subjects have windows enough for two halves.
    """
    chosen = np.unique(np.linspace(0, len(subjects) - 1, min(len(subjects), MOST_SUBJECTS)).astype(int))
    dealt = [(subjects[row], parts) for row in chosen if (parts := halves(subjects[row], activities)) is not None]
    scores = own_scores()
    if len(dealt) < _FEWEST or not scores:
        return {}
    members = [np.flatnonzero(np.array(families) == name) for name in sorted(set(families))]
    # Per number of windows: scores, subjects, days, families.
    largest = np.full((len(GRID), len(scores), len(dealt), 2 * DRAWS, len(members)), np.nan)
    for row, (one, parts) in enumerate(dealt):
        for turn, (past, rest) in enumerate((parts, parts[::-1])):
            history = count(one, past, activities)
            for size, windows in enumerate(GRID):
                for number in range(DRAWS):
                    day = count(one, rest[draw(one.recordings[rest], windows, random)], activities)
                    weights = day_weights(day, history)
                    if weights is None:
                        continue
                    for place, score in enumerate(scores):
                        found = np.abs(compare(score, day, history, weights))
                        largest[size, place, row, turn * DRAWS + number] = [found[of].max() for of in members]
    # A day of activities that the history does not know is not compared; the subject's other days stand for it.
    known = ~np.isnan(largest)
    total = np.where(known, largest, 0.0).sum(3, keepdims=True)
    filled = np.where(known, largest, total / np.maximum(known.sum(3, keepdims=True), 1))
    return {
        score.name: level_of(filled[:, place], families, len(dealt), OWN_VARIATION)
        for place, score in enumerate(scores)
    }


def halves(one: OwnWindows, activities: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Rows of two halves whose activities are mostly the same: by date, by recording or in time; None: there are none.

    Args:
        one: the subject.
        activities: how many the model can answer.
    """
    for deal in (_by_date, _by_recording, _in_time):
        first, second = deal(one)
        if len(first) and len(second):
            counted = [count(one, rows, activities) for rows in (first, second)]
            if all(day_weights(*pair) is not None for pair in (counted, counted[::-1])):
                return first, second
    return None


def count(one: OwnWindows, rows: NDArray[np.int64], activities: int) -> NDArray[np.int64]:
    """Windows per activity, feature and bin, int64 (K, F, B)."""
    features = one.codes.shape[1]
    places = (one.answers[rows].astype(np.int64)[:, None] * features + np.arange(features)) * BINS + one.codes[rows]
    counted: NDArray[np.int64] = np.bincount(places.ravel(), minlength=activities * features * BINS)
    return counted.reshape(activities, features, BINS)


def _by_date(one: OwnWindows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every other date."""
    none = np.empty(0, np.int64)
    if one.dates is None:
        return none, none
    place = np.unique(one.dates, return_inverse=True)[1]
    return np.flatnonzero(place % 2 == 0), np.flatnonzero(place % 2 == 1)


def _by_recording(one: OwnWindows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every other recording of those with the same most frequent activity."""
    dealt: defaultdict[int, int] = defaultdict(int)
    rows: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    for recording in _recordings(one):
        most = int(np.bincount(one.answers[recording]).argmax())
        rows[dealt[most] % 2].append(recording)
        dealt[most] += 1
    first, second = (np.concatenate([np.empty(0, np.int64), *part]) for part in rows)
    return first, second


def _in_time(one: OwnWindows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The two parts of each recording, without the window in between, which shares samples with both."""
    parts = [(rows[: (len(rows) - 1) // 2], rows[(len(rows) + 1) // 2 :]) for rows in _recordings(one)]
    first, second = (np.concatenate([np.empty(0, np.int64), *part]) for part in zip(*parts, strict=True))
    return first, second


def _recordings(one: OwnWindows) -> list[NDArray[np.int64]]:
    starts = np.flatnonzero(np.diff(one.recordings)) + 1
    return np.split(np.arange(len(one.recordings)), starts)
