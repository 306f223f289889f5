"""One day's report and the facts around it to one decision; a pure function, so that every rule can be tested alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from har.evaluation import percent
from har.monitoring.decisions._decision import Action, Decision
from har.monitoring.decisions._probation import ProbationVerdict
from har.monitoring.drift import DayReport, Performance
from har.monitoring.profiles import QualityAlarm
from har.settings import Retraining

DRIFT_CONFIRMED = "har.drift.confirmed"
LABELS_WANTED = "har.labels.wanted"
LABELS_ARRIVED = "har.labels.arrived"
PERFORMANCE_DROPPED = "har.performance.dropped"
QUALITY_ALARMED = "har.quality.alarmed"
PROBATION_FAILED = "har.probation.failed"
STARTS_TRAINING = frozenset({DRIFT_CONFIRMED, LABELS_ARRIVED, PERFORMANCE_DROPPED})
"""Events that start a training; the others announce what was done already."""

_SPELLED_OUT = 3
"""Spell out at most this many faults."""


_FAILED = "failed: "


@dataclass(frozen=True)
class OpenTraining:
    """A decision to train that has not been handled to its end.

    Attributes:
        date: the day that was judged.
        decision_id: of the decision.
        attempts: how many trainings were begun for it.
        outcome: of the last of them so far.
    """

    date: dt.date
    decision_id: str
    attempts: int
    outcome: str

    @property
    def sentence(self) -> str:
        """What came of it so far, and what starts it."""
        by_hand = f"har train --decision {self.decision_id}"
        training = f"The training that was decided on {self.date}"
        if not self.attempts:
            return f"{training} has not started: `make up` starts it, or by hand: {by_hand}"
        if self.outcome.startswith(_FAILED):
            return f"{training} {self.outcome}. To try again: {by_hand}"
        return f"{training} has begun and has not ended. If it does not run any more: {by_hand}"


@dataclass(frozen=True)
class Facts:
    """What a decision rests on besides the day's report.

    Attributes:
        automatic: whether trainings may start by themselves.
        last_training: day of the last decision to train, whatever its outcome.
        open_training: the newest decision to train that has not been handled to its end; None: there is none.
        last_asked: day on which labels were last requested.
        labelled_since: labelled windows of the days since the drift began; 0 without drift.
        unseen_labelled: labelled windows that the champion was neither trained nor judged on.
        probation: how a promoted model compares with the one before it; None: no probation runs.
        unreviewed: feedback that no person has reviewed.
    """

    automatic: bool
    last_training: dt.date | None
    open_training: OpenTraining | None
    last_asked: dt.date | None
    labelled_since: int
    unseen_labelled: int
    probation: ProbationVerdict | None
    unreviewed: int = 0


def decide(report: DayReport, facts: Facts, settings: Retraining) -> Decision:
    """Decide what is to be done about a day.

    The first of these that applies:

    1. *rollback*: the promoted model failed its probation.
    2. *alert*: data faults explain the drift, or concern half of the subjects: a broken sensor is no reason to train,
       and drift that it hides shows again once it is fixed.
    3. drift is confirmed: *retrain* with enough labels since it began, or *hold* while another training is open, in the
       cool-down or switched off; else *ask* for labels, whatever else is open, once per drift; *hold* until they come.
    4. accuracy fell: as with drift, by the labelled windows that the champion has not seen.
    5. enough labelled windows are new for a training: *retrain*, or *hold* likewise.
    6. *alert*: any other data fault.
    7. *watch*: an alarm, not confirmed. 8. *nothing*.

    The cool-down counts days of reports. A day before the last training's is in the cool-down too: older days that are
    judged late start no training.

    Args:
        report: the day's.
        facts: as they are now.
        settings: numbers of windows and days.

    Returns:
        The decision. Its payload has `since` (ISO date or None), `reason`, and what the action needs besides.
    """
    return _Policy(report, facts, settings).decide()


class _Policy:
    def __init__(self, report: DayReport, facts: Facts, settings: Retraining) -> None:
        self.report, self.facts, self.settings = report, facts, settings

    def decide(self) -> Decision:
        report, facts = self.report, self.facts
        if facts.probation is not None and facts.probation.rollback:
            return self._say(
                "rollback",
                facts.probation.reasons,
                PROBATION_FAILED,
                version=facts.probation.version,
                former=facts.probation.former,
            )
        faults = _sentences(report.quality)
        if report.quality and (_explains(report) or _is_widespread(report)):
            drift = f"Drift {'is confirmed' if report.confirmed else 'alarms'} (score {report.score:.2f})"
            drifted = [f"{drift}, and data faults explain it: no training."] if report.alarmed else []
            if report.confirmed and not drifted:
                drifted = [f"Drift is confirmed since {report.since}, and the data are faulty: no training."]
            return self._say("alert", (*drifted, *faults), QUALITY_ALARMED, faults=len(report.quality))
        if report.confirmed:
            return self._on_drift(faults)
        if report.performance is not None and report.performance.dropped:
            return self._on_performance(report.performance, faults)
        if facts.unseen_labelled >= self.settings.new_windows:
            arrived = [
                f"{_windows(facts.unseen_labelled)} with labels are new to the champion; "
                f"{self.settings.new_windows} start a training."
            ]
            return self._train_unless_blocked([*arrived, *faults], LABELS_ARRIVED)
        if report.quality:
            return self._say("alert", faults, QUALITY_ALARMED, faults=len(report.quality))
        if report.alarmed:
            return self._say(
                "watch", (f"Drift on this day (score {report.score:.2f}; 1 is the alarm level), not confirmed yet.",)
            )
        if not report.judged:
            return self._say(
                "nothing",
                (f"Not judged: {report.subjects} subjects with {_windows(report.windows)} are too few.",),
            )
        return self._say("nothing", (f"No drift (score {report.score:.2f}; 1 is the alarm level).",))

    def _on_drift(self, faults: Sequence[str]) -> Decision:
        report, needed = self.report, self.settings.min_windows
        confirmed = [f"Drift is confirmed since {report.since} (score {report.score:.2f}). {report.diagnosis}".strip()]
        have = self.facts.labelled_since
        labels = f"{_windows(have)} since then have labels, of {needed} needed."
        return self._train_or_ask([*confirmed, labels, *faults], DRIFT_CONFIRMED, have)

    def _on_performance(self, performance: Performance, faults: Sequence[str]) -> Decision:
        fell = (
            f"Accuracy fell to {percent(performance.accuracy)} on {_windows(performance.windows)} of "
            f"{performance.subjects} subjects{performance.when} (95 % interval up to {percent(performance.high)}), "
            f"from {percent(performance.expected)}."
        )
        have = self.facts.unseen_labelled
        labels = f"{_windows(have)} with labels are new to the champion, of {self.settings.min_windows} needed."
        return self._train_or_ask([fell, labels, *faults], PERFORMANCE_DROPPED, have)

    def _train_or_ask(self, reasons: list[str], event: str, labelled: int) -> Decision:
        if labelled >= self.settings.min_windows:
            return self._train_unless_blocked(reasons, event)
        if self.facts.unreviewed:
            waiting = f"{self.facts.unreviewed} feedbacks wait for a person and count once they are accepted"
            reasons.append(f"{waiting}: har labels --feedback")
        if self.facts.open_training is not None:
            reasons.append(self.facts.open_training.sentence)
        asked = self.facts.last_asked
        if asked is not None and self._began() <= asked <= self.report.date:
            return self._say("hold", (*reasons, f"The labels were requested on {asked}."))
        return self._say("ask", reasons, LABELS_WANTED, labelled=labelled)

    def _train_unless_blocked(self, reasons: Sequence[str], event: str) -> Decision:
        blocked = self._blocked()
        if blocked:
            return self._say("hold", (*reasons, blocked))
        return self._say("retrain", reasons, event)

    def _blocked(self) -> str:
        """Why no training may start now; "" if one may."""
        facts, days = self.facts, self.settings.cooldown_days
        if facts.open_training is not None:
            return facts.open_training.sentence
        if facts.last_training is not None and (self.report.date - facts.last_training).days < days:
            return (
                f"The last training was decided on {facts.last_training}: cool-down of {days} days until "
                f"{facts.last_training + dt.timedelta(days=days)}."
            )
        if not facts.automatic:
            return "Automatic retraining is switched off (prefect variable har_retraining)."
        return ""

    def _began(self) -> dt.date:
        """When the problem began: labels requested since then are the ones still missing."""
        if self.report.confirmed and self.report.since is not None:
            return self.report.since
        return self.report.date - dt.timedelta(days=max(1, self.settings.cooldown_days))

    def _say(self, action: Action, reasons: Sequence[str], event: str = "", **more: Any) -> Decision:
        since = self.report.since.isoformat() if self.report.confirmed and self.report.since else None
        payload = {"since": since, "reason": reasons[0], **more} if event else {}
        return Decision(date=self.report.date, action=action, reasons=tuple(reasons), event=event, payload=payload)


def _explains(report: DayReport) -> bool:
    """Whether data faults explain the alarm: more than half of the subjects that alarmed have one."""
    faulty = {alarm.subject for alarm in report.quality}
    alarmed = {part.name for part in report.slices if part.by == "subject" and part.alarmed}
    return len(alarmed & faulty) > len(alarmed - faulty)


def _is_widespread(report: DayReport) -> bool:
    return 2 * len({alarm.subject for alarm in report.quality}) >= max(1, report.subjects)


def _sentences(alarms: Sequence[QualityAlarm]) -> tuple[str, ...]:
    sentences = tuple(alarm.sentence for alarm in alarms[:_SPELLED_OUT])
    rest = len(alarms) - len(sentences)
    return (*sentences, f"{rest} more data faults.") if rest else sentences


def _windows(count: int) -> str:
    return f"{count} window{'' if count == 1 else 's'}"
