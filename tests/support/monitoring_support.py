"""Reports as monitoring makes them, by hand: a good day, a turned watch, what was decided and promoted."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from har.monitoring.decisions import DecisionRow
from har.monitoring.drift import DayReport, Distribution, FeatureScore, Performance, ScoreColumn, SliceScore
from har.monitoring.profiles import QualityAlarm
from har.pages import LoopDay, render_index, summaries
from har.registry import Promotion

FIRST = dt.date(2026, 1, 5)
SCORES = (
    ScoreColumn("hellinger", "Hellinger", "Distance of the two distributions, 0 to 1."),
    ScoreColumn("psi", "PSI", "Population stability index."),
)
_SERIES = ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z", "accel_norm", "gyro_norm")
_TURNED = {"accel_x.mean": 9.0, "accel_y.mean": 7.5, "accel_x~accel_z.corr": 4.2, "accel_y~accel_z.corr": 3.6}
NAMES = (
    *(f"{series}.{kind}" for kind in ("mean", "log_var", "log_jerk") for series in _SERIES),
    *(f"{a}~{b}.corr" for i, a in enumerate(_SERIES) for b in _SERIES[i + 1 :]),
    *(f"{series}.band_{band}hz" for series in _SERIES[-2:] for band in ("0_0.6", "0.6_1", "1_1.4", "8_10", "16_25")),
)


def distribution(name: str, moved: float = 0.0) -> Distribution:
    """A normal reference cut at uneven quantiles, as monitoring cuts it; `moved` is in standard deviations."""
    edges = (-3.4, -2.3, -1.6, -1.3, -0.85, -0.5, -0.25, 0.0, 0.25, 0.5, 0.85, 1.3, 1.6, 2.3, 3.4)

    def shares(centre: float) -> tuple[float, ...]:
        below = [0.5 * (1 + math.erf((edge - centre) / math.sqrt(2))) for edge in edges]
        below[0], below[-1] = 0.0, 1.0
        return tuple(high - low for low, high in pairwise(below))

    return Distribution(name, edges, shares(0.0), shares(moved))


def day_report(*, drifted: bool = False, seed: int = 0, **changes: Any) -> DayReport:
    """A judged day of ten subjects without drift, or with a turned watch; any attribute can be given instead."""
    drawn = random.Random(f"{changes.get('date', FIRST)} {seed}")  # noqa: S311
    features = []
    for name in NAMES:
        moved = _TURNED.get(name, 0.0) * drifted
        score = drawn.uniform(0.15, 0.75) + moved
        features.append(
            FeatureScore(
                name=name,
                kind="input",
                values={"hellinger": min(0.98, 0.12 * score), "psi": 0.09 * score**2},
                shift=0.3 * moved - drawn.uniform(-0.2, 0.2),
                spread=drawn.uniform(0.8, 1.25),
                score=score,
                alarmed=score >= 1,
            )
        )
    features.append(FeatureScore("activity=ROW", "activity", {"hellinger": 0.1, "psi": 0.03}, 0.2, 1.0, 0.4, False))
    features.append(FeatureScore("confidence", "confidence", {"hellinger": 0.08, "psi": 0.02}, -0.1, 1.1, 0.35, False))
    features.sort(key=lambda row: -row.score)
    worst = tuple(row.name for row in features[:5])
    score = features[0].score
    slices = [
        SliceScore("everyone", "everyone", 10, 2229, score, score >= 1, worst),
        *(
            SliceScore("subject", f"s{number:02}", 1, 223, part, part >= 1, worst[:2])
            for number in range(1, 11)
            for part in (score * drawn.uniform(0.6, 1.1),)
        ),
        SliceScore("placement", "left", 10, 1115, 0.9 * score, 0.9 * score >= 1, worst[:3]),
        SliceScore("placement", "right", 10, 1114, 0.7 * score, 0.7 * score >= 1, worst[:3]),
    ]
    slices[1:] = sorted(slices[1:], key=lambda row: -row.score)
    diagnosis = "Everyone: most in accel_x.mean, accel_y.mean and accel_x~accel_z.corr." if drifted else ""
    report = DayReport(
        date=FIRST,
        model_version=1,
        subjects=10,
        windows=2229,
        judged=True,
        score=score,
        alarmed=drifted,
        confirmed=False,
        since=None,
        scores=SCORES,
        features=tuple(features),
        distributions=tuple(
            distribution(row.name, row.shift) for row in [row for row in features if row.kind != "activity"][:5]
        ),
        slices=tuple(slices),
        quality=(),
        performance=None,
        diagnosis=diagnosis,
        verdict=f"An alarm, not confirmed yet (2 of 3 days are needed). {diagnosis}"
        if drifted
        else "No drift in 10 subjects.",
    )
    return replace(report, **changes)


def unjudged_report(**changes: Any) -> DayReport:
    """A day with too few subjects."""
    values = {
        "subjects": 1,
        "windows": 41,
        "judged": False,
        "score": 0.0,
        "features": (),
        "distributions": (),
        "slices": (),
        "verdict": "Not judged: 1 subject with 30 windows, 2 are needed.",
    }
    return day_report(**{**values, **changes})


FAULT = QualityAlarm("gaps", "s03", 9.4, 4.0, "s03: 9.4 gaps an hour, where 4 are usual at most.")
PERFORMANCE = Performance(windows=412, subjects=7, accuracy=0.731, expected=0.92, high=0.774, dropped=True)


def decision(
    date: dt.date, action: str, *, reasons: Sequence[str] = (), event: str = "", **changes: Any
) -> DecisionRow:
    """A decision taken in the early morning after its day."""
    at = dt.datetime.combine(date + dt.timedelta(days=1), dt.time(3, 20), dt.UTC)
    values = {
        "date": date,
        "decision_id": f"{date}-{action}-0",
        "action": action,
        "reasons": tuple(reasons) or ("No drift (score 0.71; 1 is the alarm level).",),
        "event": event,
        "payload": {"since": None, "reason": "drift"} if event else {},
        "model_version": 1,
        "decided_at": at,
        "emitted_at": at + dt.timedelta(seconds=2) if event else None,
        "handled_at": at + dt.timedelta(minutes=3) if event else None,
        "attempts": int(bool(event)),
        "outcome": "",
    }
    return DecisionRow(**{**values, **changes})


def promotion(when: dt.datetime, version: int, before: int | None, after: int, **changes: Any) -> Promotion:
    """A line of the promotion log."""
    values: dict[str, Any] = {
        "when": when,
        "who": "gate",
        "action": "promote" if version == after else "rollback",
        "version": version,
        "champion_before": before,
        "champion_after": after,
        "reason": "Better since the drift, not inferior before it.",
        "figures": {},
        "by_gate": True,
        "model": "har-mlops",
        "aliases": {"champion": after},
    }
    return Promotion(**{**values, **changes})


def story(days: int = 17, turned: int = 10, *, first: dt.date = FIRST) -> tuple[list[DayReport], list[DecisionRow]]:
    """Good days, then a turned watch: alarm, confirmation, retraining; version 2 answers from the third turned day."""
    reports, decisions = [], []
    for number in range(days):
        date = first + dt.timedelta(days=number)
        drifted, healed = turned <= number < turned + 2, number >= turned + 2
        values: dict[str, Any] = {"date": date, "model_version": 2 if healed else 1}
        action, event = "nothing", ""
        reasons: tuple[str, ...] = ()
        if drifted:
            action, reasons = "watch", ("Drift on this day (score 9.60; 1 is the alarm level), not confirmed yet.",)
        if number == turned + 1:
            since = date - dt.timedelta(days=1)
            values |= {"confirmed": True, "since": since, "performance": PERFORMANCE}
            values["verdict"] = f"Drift, confirmed since {since}. Everyone: most in accel_x.mean, accel_y.mean."
            action, event = "retrain", "har.drift.confirmed"
            reasons = (
                f"Drift is confirmed since {since} (score 9.60).",
                "446 windows since then have labels, of 200 needed.",
            )
        reports.append(day_report(drifted=drifted, **values))
        outcome = "version 2 was promoted" if action == "retrain" else ""
        decisions.append(decision(date, action, reasons=reasons, event=event, outcome=outcome))
    return reports, decisions


def loop_days(days: int = 17, turned: int = 10) -> list[LoopDay]:
    """The same as the demo's curve."""
    reports, decisions = story(days, turned)
    rows = []
    for number, (report, row) in enumerate(zip(reports, decisions, strict=True)):
        phase = "turned" if number >= turned else "good"
        accuracy = 0.92 if phase == "good" else 0.73 if report.model_version == 1 else 0.89
        events = tuple(event for event in (row.action,) if event != "nothing")
        events += ("version 2 serves",) if number == turned + 2 else ()
        rows.append(LoopDay(report.date, accuracy, report.score, report.alarmed, report.model_version, events, phase))
    return rows


@dataclass(frozen=True)
class Given:
    """Days to show that a test made, in place of a lake's; counts the reports that were read."""

    all_reports: Sequence[DayReport]
    all_decisions: Sequence[DecisionRow] = ()
    read: list[dt.date] = field(default_factory=list)

    def marks(self) -> dict[dt.date, str]:
        decided = [repr(row) for row in self.all_decisions]
        own = {report.date: repr(report) for report in sorted(self.all_reports, key=lambda one: one.date)}
        return {date: f"{mark}{[row for row in decided if repr(date) in row]}" for date, mark in own.items()}

    def reports(self, dates: Collection[dt.date]) -> list[DayReport]:
        self.read.extend(dates)
        return [report for report in self.all_reports if report.date in dates]

    def decisions(self, dates: Collection[dt.date]) -> list[DecisionRow]:
        return [row for row in self.all_decisions if row.date in dates]


def history(
    reports: Sequence[DayReport], decisions: Sequence[DecisionRow], promotions: Sequence[Promotion], *, title: str
) -> str:
    """The page about these days."""
    return render_index(summaries(reports, decisions), promotions, title=title)
