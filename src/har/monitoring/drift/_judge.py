"""Subjects of a day, alone or together, against the reference and against their own history: how near to an alarm.

All subjects together are compared as one mixture, in which differences between persons average out and a shift that
they share does not. 1 is the alarm level everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift._bins import profile_shares
from har.monitoring.drift._calibration import shrink
from har.monitoring.drift._own import OwnDay, OwnScores, compare_own
from har.monitoring.drift._reference import Reference, Stratum
from har.monitoring.drift.scores import alarming, own_scores
from har.monitoring.profiles import CONFIDENCE, SubjectDay
from har.settings import Drift

OTHERS_SHARE = 0.2
"""Where subjects have a history of their own, the comparison with others keeps this share of `drift.false_alarms`.

Their own history sees smaller changes; the others show what was there from the first day, and what is gross. Measured
on three sets, shares of 0.1 to 0.5 lose little (docs/decisions/06)."""
_TOGETHER = 0.5
"""Subjects are compared with their own histories together if at least this share of them has one."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A subject, or several together, compared with the reference and with their own history.

    Attributes:
        shares: the mean over its subjects, float64 (Q, B).
        reference: what they are compared with, float64 (Q, B).
        others: per quantity the largest alarming score against the reference over its level, float64 (Q,).
        own: the same against their own history, 0 where it is not compared, float64 (Q,); None: there is none.
        windows: how many.
        subjects: how many.
        counted: which quantities may alarm, (Q,).
        own_days: how many days the shortest history has; 0: there is none.
        own_subjects: how many subjects were compared with their own history.
        day, history: means of the features on the day and in the histories, float64 (F,); None without a history.
    """

    shares: NDArray[np.float64]
    reference: NDArray[np.float64]
    others: NDArray[np.float64]
    own: NDArray[np.float64] | None
    windows: int
    subjects: int
    counted: NDArray[np.bool_]
    own_days: int = 0
    own_subjects: int = 0
    day: NDArray[np.float64] | None = None
    history: NDArray[np.float64] | None = None

    @property
    def scores(self) -> NDArray[np.float64]:
        """Per quantity the larger one, float64 (Q,)."""
        return self.others if self.own is None else np.maximum(self.others, self.own)

    @property
    def score(self) -> float:
        """That of the worst counted quantity."""
        return float(self.scores[self.counted].max())

    @property
    def own_score(self) -> float | None:
        """That of the worst quantity against the own history."""
        return None if self.own is None else float(self.own.max())


@dataclass(frozen=True, eq=False)
class SubjectShares:
    """One subject's windows of the day.

    Attributes:
        shares: per quantity and bin, float64 (Q, B).
        windows: how many.
        strata: those that they may be compared with.
        own: what the comparison with the subject's own history gave.
    """

    shares: NDArray[np.float64]
    windows: int
    strata: tuple[Stratum, ...]
    own: OwnScores | None


def by_subject(
    reference: Reference, days: Sequence[SubjectDay], history: Sequence[OwnDay], settings: Drift
) -> dict[str, SubjectShares]:
    """The subjects of some profiles, in order of name."""
    found = {}
    for subject in sorted({day.subject for day in days}):
        parts = [day for day in days if day.subject == subject]
        placements = {day.placement for day in parts}
        profiles = [day.profile for day in parts]
        found[subject] = SubjectShares(
            shares=profile_shares(profiles, (*reference.features, CONFIDENCE), reference.edges, reference.activities),
            windows=sum(profile.windows for profile in profiles),
            strata=reference.strata_for(placements.pop() if len(placements) == 1 else ""),
            own=compare_own(reference, parts, [one for one in history if one.subject == subject], settings),
        )
    return found


def judge(reference: Reference, seen: Sequence[SubjectShares], false_alarms: float) -> Judged:
    """Score subjects together, one at least; each is compared with the regime nearest to it."""
    own = [one.own for one in seen if one.own is not None]
    together = bool(own) and len(own) >= _TOGETHER * len(seen)
    rate = false_alarms * (OTHERS_SHARE if together else 1.0)
    nearest = [_nearest(one, rate) for one in seen]
    # A column without a finite value says nothing about drift; that it has none is data quality's concern.
    mean = np.mean([_filled(one, stratum) for one, stratum in zip(seen, nearest, strict=True)], axis=0)
    expected = np.mean([stratum.shares for stratum in nearest], axis=0)
    each = [stratum.limits(one.windows, rate) for one, stratum in zip(seen, nearest, strict=True)]
    others = min(stratum.subjects for stratum in nearest)
    limits = {}
    for score in alarming():
        if all(score.name in one for one in each):
            level = np.mean([one[score.name] for one in each], axis=0) * shrink(score, len(seen), others)
            limits[score.name] = np.maximum(level, score.least_level)
    compared = own if together else []
    return Judged(
        shares=mean,
        reference=expected,
        others=_over(limits, mean, expected),
        own=_against_own(reference, compared, false_alarms - rate) if compared else None,
        windows=sum(one.windows for one in seen),
        subjects=len(seen),
        counted=nearest[0].counted,
        own_days=min((one.days for one in compared), default=0),
        own_subjects=len(compared),
        day=np.mean([one.day for one in compared], axis=0) if compared else None,
        history=np.mean([one.history for one in compared], axis=0) if compared else None,
    )


def _against_own(reference: Reference, own: Sequence[OwnScores], false_alarms: float) -> NDArray[np.float64]:
    """Per quantity the largest score against the own histories over its level, float64 (Q,); 0 for what is no feature.

    Scores are averaged over subjects with their sign: what is chance has none in common.
    """
    known = [score for score in own_scores() if all(score.name in one.values for one in own)]
    ratios = [np.zeros(len(reference.features))]
    for score in known:
        learned = reference.own[score.name]
        each = [learned.limits(one.windows, false_alarms / len(known)) * one.raised[score.name] for one in own]
        # Histories do not vary together, as one common reference does.
        level = np.mean(each, axis=0) * shrink(score, len(own))
        value = np.abs(np.mean([one.values[score.name] for one in own], axis=0))
        ratios.append(value / np.maximum(level, score.least_level))
    found = np.zeros(len(reference.quantities))
    found[: len(reference.features)] = np.max(ratios, axis=0)
    return found


def _over(
    limits: Mapping[str, NDArray[np.float64]], day: NDArray[np.float64], reference: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Per quantity the largest alarming score over its level, float64 (Q,)."""
    ratios = [score.formula(day, reference) / limits[score.name] for score in alarming() if score.name in limits]
    largest: NDArray[np.float64] = np.max(ratios, axis=0)
    return largest


def _filled(one: SubjectShares, stratum: Stratum) -> NDArray[np.float64]:
    return np.where(np.isnan(one.shares), stratum.shares, one.shares)


def _nearest(one: SubjectShares, false_alarms: float) -> Stratum:
    def score(stratum: Stratum) -> float:
        limits = stratum.limits(one.windows, false_alarms)
        over = _over(limits, _filled(one, stratum), stratum.shares)
        return float(over[stratum.counted].max())

    return min(one.strata, key=score)
