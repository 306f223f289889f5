"""Windows in, judged days out: ours, and the usual statistics from the same sketches.

A subject's day is as many of its recordings as it has, drawn with replacement. Subjects are held out in turn: in each
round they are dealt into thirds, and each third's days are judged by a reference of the others.
"""

from __future__ import annotations

import datetime as dt
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift import DayReport, Seen, make_reference, watch_day
from har.monitoring.drift._bins import edges, profile_shares
from har.monitoring.drift.scores.hellinger import hellinger
from har.monitoring.drift.scores.kolmogorov import kolmogorov
from har.monitoring.drift.scores.psi import psi
from har.monitoring.profiles import Profile, SubjectDay
from har.settings import Drift
from tests.bench.drift._data import FAULTS, SWAPPED, Windows

ROUNDS = 4
DRAWS = 4
"""Days of each subject and side in each round."""
DAYS = 10
"""So many days a fault is given to be confirmed."""
FIRST = dt.date(2024, 1, 1)


@dataclass(frozen=True)
class SubjectScore:
    """One subject's day: its fault ("none"), our score (1 alarms), and the largest of each peer's statistic."""

    fault: str
    subject: str
    ours: float
    ks: float
    psi: float
    hellinger: float


@dataclass(frozen=True)
class Judged:
    """All that was judged.

    Attributes:
        subjects: single subjects' days.
        reports: per fault whether the report of a third's subjects together alarmed, one value a day.
        delays: per fault the days until confirmed, one value a sequence; infinite if not within `DAYS`.
        default: whether whylogs' own rule (any column's p under 0.05) alarmed, one value per undrifted subject-day.
    """

    subjects: list[SubjectScore]
    reports: dict[str, list[bool]]
    delays: dict[str, list[float]]
    default: list[bool]


def judge(windows: Windows, settings: Drift, *, tick: Callable[[], None], seed: int = 0) -> Judged:
    """Judge days of every subject, each round with other splits and other days."""
    random = np.random.default_rng(seed)
    found = Judged([], {}, {}, [])
    names = sorted(set(windows.subjects.tolist()))
    sides = sorted(set(windows.sides.tolist()))
    for _ in range(ROUNDS):
        thirds = np.array_split(random.permutation(names), 3)
        days = {side: _draw(windows, side, random) for side in sides}
        for side in sides:
            other = next((one for one in sides if one != side), None)
            for held in thirds:
                _judge_third(windows, settings, found, held.tolist(), side, days[side], days.get(other or ""))
                tick()
    return found


Days = dict[tuple[str, str, int], Profile]
"""Profiles by variant, subject and number."""


def _draw(windows: Windows, side: str, random: np.random.Generator) -> Days:
    days: Days = {}
    for subject in np.unique(windows.subjects).tolist():
        rows = np.flatnonzero((windows.subjects == subject) & (windows.sides == side))
        recordings = [rows[windows.recordings[rows] == one] for one in np.unique(windows.recordings[rows])]
        for number in range(DRAWS):
            drawn = np.concatenate([recordings[i] for i in random.integers(len(recordings), size=len(recordings))])
            for variant in ["none", *(f"{name}/{number % len(variants)}" for name, variants in FAULTS.items())]:
                name = variant.split("/")[0]
                days[name, subject, number] = _profile(windows, variant, drawn)
    return days


def _profile(windows: Windows, variant: str, rows: NDArray[np.int64]) -> Profile:
    # No model answers here: one answer, always sure.
    return Profile.of(
        windows.features[variant][rows],
        windows.names,
        confidence=np.ones(len(rows), np.float32),
        activities={"any": len(rows)},
    )


def _judge_third(
    windows: Windows, settings: Drift, found: Judged, held: list[str], side: str, days: Days, others: Days | None
) -> None:
    rows = np.flatnonzero(~np.isin(windows.subjects, held) & (windows.sides == side))
    seen = Seen(
        features=windows.features["none"][rows],
        subjects=windows.subjects[rows],
        recordings=windows.recordings[rows],
        regimes=np.zeros(len(rows), np.int64),
        confidence=np.ones(len(rows)),
        activities=np.full(len(rows), "any"),
    )
    reference = make_reference(seen, windows.names)
    peers = _Peers(_profile(windows, "none", rows), windows, rows)
    everything = {(fault, *rest): profile for (fault, *rest), profile in days.items()}
    if others is not None:
        everything |= {(SWAPPED, *rest): one for (fault, *rest), one in others.items() if fault == "none"}
    for fault in ["none", *FAULTS, *([SWAPPED] if others is not None else [])]:
        history: list[DayReport] = []
        for number in range(DAYS):
            # Later days put the subjects' drawn days together anew.
            profiles = [
                everything[fault, subject, (number + (number // DRAWS) * place) % DRAWS]
                for place, subject in enumerate(held)
            ]
            today = [SubjectDay(who, "", "", False, one) for who, one in zip(held, profiles, strict=True)]
            report = watch_day(FIRST + dt.timedelta(days=number), 1, reference, today, history, settings)
            history.append(report)
            if number < DRAWS:
                found.reports.setdefault(fault, []).append(report.alarmed)
                scores = {one.name: one.score for one in report.slices if one.by == "subject"}
                for who, profile in zip(held, profiles, strict=True):
                    found.subjects.append(SubjectScore(fault, who, scores[who], *peers.statistics(profile)))
                    if fault == "none":
                        found.default.append(peers.alarms(profile))
            elif fault == "none" or history[-1].confirmed:
                break
        if fault != "none":
            confirmed = [float(number) for number, one in enumerate(history, start=1) if one.confirmed]
            found.delays.setdefault(fault, []).append(min(confirmed, default=np.inf))


class _Peers:
    """The largest Kolmogorov distance, PSI and Hellinger distance over all features, and whylogs' own test."""

    def __init__(self, profile: Profile, windows: Windows, rows: NDArray[np.int64]) -> None:
        self.profile, self.names = profile, windows.names
        self.cuts = edges(windows.features["none"][rows])
        self.shares = profile_shares([profile], self.names, self.cuts, ())
        self.test = _whylogs_test()

    def statistics(self, day: Profile) -> tuple[float, float, float]:
        shares = profile_shares([day], self.names, self.cuts, ())
        return tuple(float(of(shares, self.shares).max()) for of in (kolmogorov, psi, hellinger))  # type: ignore[return-value]

    def alarms(self, day: Profile) -> bool:
        """Whether whylogs' KS test of any column gives p < 0.05."""
        return any(self._p_value(day, name) < 0.05 for name in self.names)

    def _p_value(self, day: Profile, name: str) -> float:
        score = self.test.calculate(day.view.get_column(name), self.profile.view.get_column(name))
        return float(score.pvalue) if score is not None else 1.0


def _whylogs_test() -> Any:
    """whylogs' KS test; its package imports IPython, of which the test itself needs nothing."""
    missing = [name for name in ("IPython", "IPython.core", "IPython.core.display") if name not in sys.modules]
    for name in missing:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(HTML=object, display=object)
    from whylogs.viz.drift.column_drift_algorithms import KS

    for name in missing:  # matplotlib asks whether it runs inside IPython
        del sys.modules[name]
    return KS()
