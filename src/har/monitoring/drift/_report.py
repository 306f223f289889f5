"""A monitored day: the values that reports show, the policy acts on and the lake stores."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from har.errors import MonitoringError
from har.monitoring.drift._json import to_json
from har.monitoring.drift.scores import Score, scores
from har.monitoring.profiles import QualityAlarm

Kind = Literal["input", "activity", "confidence"]
"""What is scored: a feature that the model computed, the share of an activity among its answers, its confidence."""
By = Literal["everyone", "subject", "placement", "device"]


@dataclass(frozen=True)
class ScoreColumn:
    """A drift score as reports list it: its name in `FeatureScore.values`, its column's heading, and its meaning."""

    name: str
    title: str
    meaning: str


@dataclass(frozen=True)
class FeatureScore:
    """How far one profiled quantity of the day lies from the reference.

    Attributes:
        name: the feature's name, `activity=NAME` or `confidence`.
        kind: what it is about.
        values: each drift score of it, by the score's name.
        shift: the day's median minus the reference's, in the reference's standard deviations.
        spread: the day's interquartile range over the reference's.
        score: the largest alarming score over its level: 1 is the alarm level, whatever the feature.
        alarmed: `score` reached 1.
        own: the same against the subjects' own histories only; None: they are not compared, or have none.
        own_shift: the day's mean minus that of the histories with the same mix of activities, in the reference's
            standard deviations; None without a history.
        own_change: the same over the histories' mean, of the magnitude of a sensor; None for other features.
    """

    name: str
    kind: Kind
    values: dict[str, float]
    shift: float
    spread: float
    score: float
    alarmed: bool
    own: float | None = None
    own_shift: float | None = None
    own_change: float | None = None


@dataclass(frozen=True)
class Distribution:
    """One feature, reference and day: shares of windows between adjacent `edges` (B + 1 values, B shares)."""

    name: str
    edges: tuple[float, ...]
    reference: tuple[float, ...]
    day: tuple[float, ...]


@dataclass(frozen=True)
class SliceScore:
    """The day's subjects, or a part of them.

    Attributes:
        by: what the slice is selected by.
        name: its value: a subject, a placement, a device; "everyone".
        subjects: how many.
        windows: how many.
        score: calibrated for this number of subjects: 1 is the alarm level.
        alarmed: the score reached 1.
        worst: features that reached the alarm level (or the one nearest to it), worst first, five at most.
        own: `score` against the subjects' own histories only; None: they have none.
        own_days: how many quiet days the shortest of these histories has; 0: there is none.
    """

    by: By
    name: str
    subjects: int
    windows: int
    score: float
    alarmed: bool
    worst: tuple[str, ...]
    own: float | None = None
    own_days: int = 0

    @property
    def alarmed_by_own(self) -> bool:
        """Whether the subjects' own history raised the alarm, alone or more clearly than the others."""
        return self.alarmed and self.own is not None and self.own >= self.score


@dataclass(frozen=True)
class Performance:
    """Accuracy on windows of the last days that have labels.

    Attributes:
        windows: labelled windows.
        subjects: how many they are from.
        accuracy: share of correct answers, 0 … 1.
        expected: the champion's accuracy on its held-out subjects.
        high: upper end of the 95 % interval of `accuracy`, by subject.
        dropped: `high` lies below `expected` by more than the settings allow.
        first: the first day with such a window; None in reports of releases that did not record it.
        last: the last one, likewise.
        of_day: how many of the windows are of the monitored day itself.
    """

    windows: int
    subjects: int
    accuracy: float
    expected: float
    high: float
    dropped: bool
    first: dt.date | None = None
    last: dt.date | None = None
    of_day: int = 0

    @property
    def when(self) -> str:
        """The days of the windows, to be put behind their number; "" if they are not known."""
        if self.first is None or self.last is None:
            return ""
        return f" of {self.first}" if self.first == self.last else f" of {self.first} to {self.last}"


@dataclass(frozen=True)
class DayReport:
    """One monitored day.

    Attributes:
        date: the day.
        model_version: the version whose reference it was compared with.
        subjects: how many had enough windows.
        windows: how many these subjects had.
        judged: whether the day had enough subjects and windows to judge drift.
        score: of all subjects together; 1 is the alarm level.
        alarmed: drift on this day.
        confirmed: drift on enough of the last days.
        since: first day of the confirmed drift.
        features: worst first.
        distributions: of the worst five.
        slices: everyone first, then by score.
        quality: data faults.
        performance: None without labels.
        diagnosis: what changed, in a sentence: for one subject, one device or everyone; one axis, the gain or the rate.
        verdict: one sentence.
        scores: the drift scores in `features`, in the order of their columns.
        own_subjects: how many subjects were compared with their own history, too.
    """

    date: dt.date
    model_version: int
    subjects: int
    windows: int
    judged: bool
    score: float
    alarmed: bool
    confirmed: bool
    since: dt.date | None
    features: tuple[FeatureScore, ...]
    distributions: tuple[Distribution, ...]
    slices: tuple[SliceScore, ...]
    quality: tuple[QualityAlarm, ...]
    performance: Performance | None
    diagnosis: str
    verdict: str
    scores: tuple[ScoreColumn, ...] = ()
    own_subjects: int = 0

    def to_json(self) -> str:
        """As JSON, floats in full."""
        return to_json(_REPORT, self)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> DayReport:
        """Read what `to_json` wrote, now or before drift scores could be added.

        Raises:
            MonitoringError: something else wrote it.
        """
        try:
            return _REPORT.validate_python(_current(json.loads(text)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MonitoringError(
                where=where,
                expected="a day's report as this version writes it",
                got=f"{type(error).__name__}: {error}",
                remedy="Monitor the day again: har monitor --date DATE --again.",
            ) from error


_REPORT = TypeAdapter(DayReport)


def columns_of(known: Iterable[Score]) -> tuple[ScoreColumn, ...]:
    """What a report says of drift scores."""
    return tuple(ScoreColumn(one.name, one.title, one.meaning) for one in known)


def _current(values: dict[str, Any]) -> dict[str, Any]:
    """A report as it is written now; earlier ones had two scores, as fields of each feature."""
    if "scores" in values:
        return values
    earlier = ("hellinger", "psi")
    features = [
        {name: value for name, value in row.items() if name not in earlier}
        | {"values": {name: row[name] for name in earlier}}
        for row in values["features"]
    ]
    columns = [vars(one) for one in columns_of(score for score in scores() if score.name in earlier)]
    return {**values, "scores": columns, "features": features}
