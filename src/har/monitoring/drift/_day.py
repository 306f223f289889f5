"""What is known about one monitored day: the values that reports show, the policy acts on and the lake keeps."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from har.errors import MonitoringError

Kind = Literal["input", "activity", "confidence"]
"""What a score is about: a feature the model computed, the share of an activity among its answers, its confidence."""


@dataclass(frozen=True)
class FeatureScore:
    """How far one profiled quantity of the day lies from the reference.

    Attributes:
        name: the feature's name, `activity=NAME` or `confidence`.
        kind: what it is about.
        hellinger: Hellinger distance of the two distributions, 0 … 1.
        psi: population stability index.
        shift: the day's median minus the reference's, in the reference's standard deviations.
        spread: the day's interquartile range over the reference's.
        score: calibrated: 1 is the alarm level, whatever the feature.
        alarmed: the score reached 1.
    """

    name: str
    kind: Kind
    hellinger: float
    psi: float
    shift: float
    spread: float
    score: float
    alarmed: bool


@dataclass(frozen=True)
class Distribution:
    """One feature, reference beside day: shares of windows between neighbouring `edges` (B + 1 values, B shares)."""

    name: str
    edges: tuple[float, ...]
    reference: tuple[float, ...]
    day: tuple[float, ...]


@dataclass(frozen=True)
class SliceScore:
    """The day's subjects, or a part of them.

    Attributes:
        by: what the slice is cut by.
        name: its value: a subject, a placement, a device; "everyone".
        subjects: how many.
        windows: how many.
        score: calibrated for so many subjects: 1 is the alarm level.
        alarmed: the score reached 1.
        worst: features that reached the alarm level (or the one nearest to it), worst first, five at most.
    """

    by: Literal["everyone", "subject", "placement", "device"]
    name: str
    subjects: int
    windows: int
    score: float
    alarmed: bool
    worst: tuple[str, ...]


@dataclass(frozen=True)
class QualityAlarm:
    """A fault of the data, not of the world: `value` lies beyond `limit`; `sentence` says what and whose."""

    kind: Literal["coverage", "gaps", "saturation", "stuck"]
    subject: str
    value: float
    limit: float
    sentence: str


@dataclass(frozen=True)
class Performance:
    """Accuracy on windows of the last days whose labels have come.

    Attributes:
        windows: labelled windows.
        subjects: theirs.
        accuracy: share of right answers, 0 … 1.
        expected: the champion's accuracy on its held-out subjects.
        high: upper end of the 95 % interval of `accuracy`, by subject.
        dropped: `high` lies below `expected` by more than the settings allow.
    """

    windows: int
    subjects: int
    accuracy: float
    expected: float
    high: float
    dropped: bool


@dataclass(frozen=True)
class DayReport:
    """One monitored day.

    Attributes:
        date: the day.
        model_version: whose reference it was compared with.
        subjects: those with enough windows.
        windows: of these subjects.
        judged: whether the day had enough subjects and windows to say anything about drift.
        score: of everyone together; 1 is the alarm level.
        alarmed: drift on this day.
        confirmed: drift on enough of the last days.
        since: first day of the confirmed drift.
        features: worst first.
        distributions: of the worst five.
        slices: everyone first, then by score.
        quality: faults of the data.
        performance: None without labels.
        diagnosis: what moved, in a sentence: one subject, one device or everyone; one axis, the gain or the rate.
        verdict: one sentence.
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

    def to_json(self) -> str:
        """As JSON, floats in full."""
        values = asdict(self)
        values["date"] = self.date.isoformat()
        values["since"] = self.since.isoformat() if self.since else None
        return json.dumps(values, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> DayReport:
        """Read what `to_json` wrote.

        Raises:
            MonitoringError: it did not write this.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            values["date"] = dt.date.fromisoformat(values["date"])
            values["since"] = dt.date.fromisoformat(values["since"]) if values["since"] else None
            values["features"] = tuple(FeatureScore(**row) for row in values["features"])
            values["distributions"] = tuple(
                Distribution(row["name"], *(tuple(row[part]) for part in ("edges", "reference", "day")))
                for row in values["distributions"]
            )
            values["slices"] = tuple(SliceScore(**{**row, "worst": tuple(row["worst"])}) for row in values["slices"])
            values["quality"] = tuple(QualityAlarm(**row) for row in values["quality"])
            values["performance"] = Performance(**values["performance"]) if values["performance"] else None
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise MonitoringError(
                where=where,
                expected="a day's report as this version writes it",
                got=f"{type(error).__name__}: {error}",
                remedy="Monitor the day again: har monitor --date DATE --again.",
            ) from error


Action = Literal["nothing", "watch", "retrain", "ask", "hold", "alert", "rollback"]
"""`watch`: an alarm that is not confirmed; `hold`: a training that is due but waits."""


@dataclass(frozen=True)
class Decision:
    """What the policy makes of a day.

    Attributes:
        date: the day judged.
        action: what is to be done.
        reasons: in sentences, with figures.
        event: the Prefect event that says so, "" for none.
        payload: the event's: JSON values.
    """

    date: dt.date
    action: Action
    reasons: tuple[str, ...]
    event: str
    payload: dict[str, Any]

    @property
    def id(self) -> str:
        """Names this decision: the same day, action and payload give the same one."""
        content = json.dumps([self.date.isoformat(), self.action, self.payload], sort_keys=True)
        return f"{self.date.isoformat()}-{self.action}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
