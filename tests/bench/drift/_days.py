"""Windows in, judged days out: ours, and the usual statistics from the same sketches.

A subject's day is as many of its recordings as it has, drawn with replacement. Subjects are held out in turn: in each
round they are dealt into thirds, and each third's days are judged by a reference of the others. A third is a part,
which the project's engine runs.
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

from har.engine import Each
from har.monitoring.drift import DayReport, Seen, make_reference, watch_day
from har.monitoring.drift._bins import edges, profile_shares
from har.monitoring.drift.scores.hellinger import hellinger
from har.monitoring.drift.scores.kolmogorov import kolmogorov
from har.monitoring.drift.scores.psi import psi
from har.monitoring.profiles import Profile, SubjectDay
from har.settings import Drift
from tests.bench.drift._data import FAULTS, SWAPPED, Source, Windows

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


@dataclass(frozen=True)
class Third:
    """Subjects whose days are judged by a reference of all others: a part, whose result is a `Judged`.

    Attributes:
        source: of the windows.
        settings: what decides about drift.
        number: of the round.
        held: the subjects.
        side: where all of them wore the sensor.
        other: another side, from which days of the fault `SWAPPED` come; "": there is none.
        drawn: the recordings of each day, by side, subject and number of the day.
    """

    source: Source
    settings: Drift
    number: int
    held: tuple[str, ...]
    side: str
    other: str
    drawn: dict[tuple[str, str, int], tuple[int, ...]]

    def __str__(self) -> str:
        return f"round {self.number + 1}, {self.side or 'all sides'}, days of {', '.join(self.held)}"


def judge(source: Source, settings: Drift, each: Each, *, tick: Callable[[int], None], seed: int = 0) -> Judged:
    """Judge days of every subject, each round with other splits and other days.

    All random numbers are drawn here, so that the figures are the same whatever runs the parts.

    Args:
        source: of the windows.
        settings: what decides about drift.
        each: runs the parts.
        tick: called with the number of parts before the first and after each of them.
        seed: of splits and days.
    """
    parts = _thirds(source, settings, np.random.default_rng(seed))
    tick(len(parts))
    found = Judged([], {}, {}, [])
    for one in each(judge_third, parts):
        found.subjects.extend(one.subjects)
        found.default.extend(one.default)
        for all_of, of_third in ((found.reports, one.reports), (found.delays, one.delays)):
            for fault, values in of_third.items():
                all_of.setdefault(fault, []).extend(values)  # type: ignore[arg-type]  both are of the same kind
        tick(len(parts))
    return found


def _thirds(source: Source, settings: Drift, random: np.random.Generator) -> list[Third]:
    windows = source.windows()
    names = sorted(set(windows.subjects.tolist()))
    sides = sorted(set(windows.sides.tolist()))
    parts = []
    for number in range(ROUNDS):
        thirds = np.array_split(random.permutation(names), 3)
        drawn = {
            (side, subject, day): tuple(random.integers(count, size=count).tolist())
            for side in sides
            for subject in names
            for count in [len(_recordings(windows, side, subject))]
            for day in range(DRAWS)
        }
        for side in sides:
            other = next((one for one in sides if one != side), "")
            for held in thirds:
                own = {key: value for key, value in drawn.items() if key[1] in held}
                parts.append(Third(source, settings, number, tuple(held.tolist()), side, other, own))
    return parts


Days = dict[tuple[str, str, int], Profile]
"""Profiles by fault, subject and number."""


def _recordings(windows: Windows, side: str, subject: str) -> list[NDArray[np.int64]]:
    rows = np.flatnonzero((windows.subjects == subject) & (windows.sides == side))
    return [rows[windows.recordings[rows] == one] for one in np.unique(windows.recordings[rows])]


def _draw(windows: Windows, third: Third) -> Days:
    days: Days = {}
    for (side, subject, number), drawn in third.drawn.items():
        recordings = _recordings(windows, side, subject)
        rows = np.concatenate([recordings[one] for one in drawn])
        if side == third.other:
            days[SWAPPED, subject, number] = _profile(windows, "none", rows)
        elif side == third.side:
            for variant in ["none", *(f"{name}/{number % len(variants)}" for name, variants in FAULTS.items())]:
                days[variant.split("/")[0], subject, number] = _profile(windows, variant, rows)
    return days


def _profile(windows: Windows, variant: str, rows: NDArray[np.int64]) -> Profile:
    # No model answers here: one answer, always sure.
    return Profile.of(
        windows.features[variant][rows],
        windows.names,
        confidence=np.ones(len(rows), np.float32),
        activities={"any": len(rows)},
    )


def judge_third(third: Third) -> Judged:
    """Judge the days of a third's subjects, without a fault and with each."""
    windows, held = third.source.windows(), third.held
    rows = np.flatnonzero(~np.isin(windows.subjects, held) & (windows.sides == third.side))
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
    days = _draw(windows, third)
    found = Judged([], {}, {}, [])
    for fault in ["none", *FAULTS, *([SWAPPED] if third.other else [])]:
        history: list[DayReport] = []
        for number in range(DAYS):
            # Later days put the subjects' drawn days together anew.
            profiles = [
                days[fault, subject, (number + (number // DRAWS) * place) % DRAWS] for place, subject in enumerate(held)
            ]
            today = [SubjectDay(who, "", "", False, one) for who, one in zip(held, profiles, strict=True)]
            report = watch_day(FIRST + dt.timedelta(days=number), 1, reference, today, history, third.settings)
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
    return found


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
