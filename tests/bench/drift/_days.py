"""Windows in, judged days out: ours, ours without own histories, and the usual statistics from the same profiles.

Subjects are held out in turn: in each round they are dealt into thirds, and each third's days are judged by a reference
of the others. First come quiet days, drawn from one half of each subject's recordings, which make the own histories by
the rules of operation: a subject who alarms on them gets none. Then come days of the other half, with each fault and
without. A third is a part, which the project's engine runs.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from har.engine import Each
from har.monitoring.drift import DayReport, OwnDay, Seen, make_reference, watch_day
from har.monitoring.drift._own_history import quiet_days
from har.monitoring.profiles import SubjectDay
from har.settings import Drift
from tests.bench.drift._data import FAULTS, SLOW, SWAPPED, Source, Windows
from tests.bench.drift._model import Discriminant
from tests.bench.drift._peers import Peers
from tests.bench.drift._subjects import Half, Imitation, drawn, halves

ROUNDS = 4
DRAWS = 4
"""Days of each subject and side in each round."""
DAYS = 10
"""So many days a fault is given to be confirmed."""
WARM_UP = 2
"""So many times the days of an own history are there before the first fault."""
FIRST = dt.date(2024, 1, 1)


@dataclass(frozen=True)
class SubjectScore:
    """One subject's day: its fault ("none"), and each method's value; "ours" and "others" alarm at 1."""

    fault: str
    subject: str
    values: dict[str, float]


@dataclass(frozen=True)
class Judged:
    """All that was judged.

    Attributes:
        subjects: single subjects' days.
        reports: per fault whether the report of a third's subjects together alarmed, one value a day.
        reports_others: the same without own histories.
        delays: per fault the days until confirmed, one value a sequence; infinite if not within `DAYS`.
        delays_others: the same without own histories.
        slow: per kind of slow drift the day on which it was confirmed; infinite if not within 30 days.
        default: whether whylogs' own rule (any column's p under 0.05) alarmed, one value per undrifted subject-day.
        histories: per subject and round whether the subject got an own history.
    """

    subjects: list[SubjectScore] = field(default_factory=list)
    reports: dict[str, list[bool]] = field(default_factory=dict)
    reports_others: dict[str, list[bool]] = field(default_factory=dict)
    delays: dict[str, list[float]] = field(default_factory=dict)
    delays_others: dict[str, list[float]] = field(default_factory=dict)
    slow: dict[str, list[float]] = field(default_factory=dict)
    default: list[bool] = field(default_factory=list)
    histories: list[bool] = field(default_factory=list)

    def add(self, other: Judged) -> None:
        """Append what another part judged."""
        for name, mine in vars(self).items():
            theirs = getattr(other, name)
            if isinstance(mine, list):
                mine.extend(theirs)
                continue
            for fault, values in theirs.items():
                mine.setdefault(fault, []).extend(values)


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
        seed: of the days.
    """

    source: Source
    settings: Drift
    number: int
    held: tuple[str, ...]
    side: str
    other: str
    seed: tuple[int, ...]

    def __str__(self) -> str:
        return f"round {self.number + 1}, {self.side or 'all sides'}, days of {', '.join(self.held)}"


def judge(source: Source, settings: Drift, each: Each, *, tick: Callable[[int], None], seed: int = 0) -> Judged:
    """Judge days of every subject, each round with other splits and other days.

    Every part has a seed of its own, so that the figures are the same whatever runs the parts.

    Args:
        source: of the windows.
        settings: what decides about drift.
        each: runs the parts.
        tick: called with the number of parts before the first and after each of them.
        seed: of splits and days.
    """
    parts = thirds(source, settings, seed)
    tick(len(parts))
    found = Judged()
    for one in each(judge_third, parts):
        found.add(one)
        tick(len(parts))
    return found


def thirds(source: Source, settings: Drift, seed: int) -> list[Third]:
    """The parts of all rounds."""
    windows, random = source.windows(), np.random.default_rng(seed)
    names, sides = sorted(set(windows.subjects.tolist())), sorted(set(windows.sides.tolist()))
    parts = []
    for number in range(ROUNDS):
        dealt = np.array_split(random.permutation(names), 3)
        for place, side in enumerate(sides):
            other = next((one for one in sides if one != side), "")
            for third, held in enumerate(dealt):
                key = (seed, number, place, third)
                parts.append(Third(source, settings, number, tuple(held.tolist()), side, other, key))
    return parts


def judge_third(third: Third) -> Judged:
    """Judge the days of a third's subjects, without a fault and with each."""
    return _Trial(third).run()


class _Trial:
    """A third's subjects, the reference of the others, and the days that pass."""

    def __init__(self, third: Third) -> None:
        self.third, self.windows = third, third.source.windows()
        self.random = np.random.default_rng(third.seed)
        self.imitation, self.peers = _reference(third, self.windows)
        self.halves = {who: self._halves(third.side, who) for who in third.held}
        self.own: list[OwnDay] = []

    def run(self) -> Judged:
        found = Judged()
        warm_up = self._warm_up()
        _, self.own = self._learned(warm_up)
        days_of = Counter(one.subject for one in self.own)
        found.histories.extend(days_of[who] >= self.third.settings.own_history_days for who in self.third.held)
        for who in self.third.held:
            self.peers.learn(who, [one.profile for day in warm_up for one in day if one.subject == who])
        days = self._days()
        for fault in ["none", *FAULTS, *([SWAPPED] if self.third.other else [])]:
            self._judge_fault(fault, days[fault], found)
        found.slow["after_quiet_days"] = [self._slow(warm_up)]
        found.slow["from_the_first_day"] = [self._slow([])]
        return found

    def _halves(self, side: str, who: str) -> tuple[Half, Half]:
        return halves(self.windows, side, who, in_time=self.third.source.in_time)

    def _warm_up(self) -> list[list[SubjectDay]]:
        count = WARM_UP * self.third.settings.own_history_days
        return [
            [self.imitation.day(who, "none", drawn(self.halves[who][0], self.random)) for who in self.third.held]
            for _ in range(count)
        ]

    def _learned(self, days: list[list[SubjectDay]]) -> tuple[list[DayReport], list[OwnDay]]:
        """The reports of these days, and the own histories after them by the rules of operation."""
        own: list[OwnDay] = []
        reports: list[DayReport] = []
        for number, today in enumerate(days):
            reports.append(self._watch(number - len(days), today, reports, own))
            own += quiet_days(reports[-1], today, own, self.third.settings)
        return reports, own

    def _watch(self, number: int, today: list[SubjectDay], history: list[DayReport], own: list[OwnDay]) -> DayReport:
        date = FIRST + dt.timedelta(days=number)
        return watch_day(date, 1, self.imitation.reference, today, history, self.third.settings, own=own)

    def _days(self) -> dict[str, list[dict[str, SubjectDay]]]:
        """By fault the days of each subject, `DRAWS` of them; the same recordings with each fault."""
        found: dict[str, list[dict[str, SubjectDay]]] = {}
        for number in range(DRAWS):
            for who in self.third.held:
                rows = drawn(self.halves[who][1], self.random)
                every = {"none": "none"} | {name: f"{name}/{number % len(of)}" for name, of in FAULTS.items()}
                made = {fault: self.imitation.day(who, variant, rows) for fault, variant in every.items()}
                if self.third.other:
                    rows = drawn(self._halves(self.third.other, who)[1], self.random)
                    made[SWAPPED] = self.imitation.day(who, "none", rows)
                for fault, day in made.items():
                    days = found.setdefault(fault, [{} for _ in range(DRAWS)])
                    days[number][who] = day
        return found

    def _judge_fault(self, fault: str, days: list[dict[str, SubjectDay]], found: Judged) -> None:
        history: list[DayReport] = []
        without: list[DayReport] = []
        for number in range(DAYS):
            # Later days put the subjects' drawn days together anew.
            today = [
                days[(number + (number // DRAWS) * place) % DRAWS][who] for place, who in enumerate(self.third.held)
            ]
            history.append(self._watch(number, today, history, self.own))
            without.append(self._watch(number, today, without, []))
            if number < DRAWS:
                found.reports.setdefault(fault, []).append(history[-1].alarmed)
                found.reports_others.setdefault(fault, []).append(without[-1].alarmed)
                ours, others = _scores(history[-1]), _scores(without[-1])
                for one in today:
                    values = self.peers.statistics(one.subject, one.profile)
                    values |= {"ours": ours[one.subject], "others": others[one.subject]}
                    found.subjects.append(SubjectScore(fault, one.subject, values))
                    if fault == "none":
                        found.default.append(self.peers.alarms(one.profile))
            elif fault == "none" or (history[-1].confirmed and without[-1].confirmed):
                break
        if fault != "none":
            found.delays.setdefault(fault, []).append(_delay(history))
            found.delays_others.setdefault(fault, []).append(_delay(without))

    def _slow(self, before: list[list[SubjectDay]]) -> float:
        """The day on which a gain that grows by 1 % a day is confirmed; the histories learn as in operation."""
        reports, own = self._learned(before)
        for number, variant in enumerate(SLOW):
            today = [
                self.imitation.day(who, f"{variant}/0", drawn(self.halves[who][1], self.random))
                for who in self.third.held
            ]
            reports.append(self._watch(number, today, reports, own))
            if reports[-1].confirmed:
                return number + 1.0
            own += quiet_days(reports[-1], today, own, self.third.settings)
        return float("inf")


def _reference(third: Third, windows: Windows) -> tuple[Imitation, Peers]:
    rows = np.flatnonzero(~np.isin(windows.subjects, third.held) & (windows.sides == third.side))
    features = windows.features["none"][rows]
    model = Discriminant.fit(features, windows.labels[rows])
    answers = np.array(model.classes)[model.answers(features)]
    seen = Seen(
        features=features,
        subjects=windows.subjects[rows],
        recordings=windows.recordings[rows],
        regimes=np.zeros(len(rows), np.int64),
        confidence=np.ones(len(rows)),
        activities=answers,
    )
    imitation = Imitation(windows, model, make_reference(seen, windows.names, classes=model.classes))
    return imitation, Peers(imitation.day("", "none", rows).profile, windows.names, features)


def _scores(report: DayReport) -> dict[str, float]:
    return {one.name: one.score for one in report.slices if one.by == "subject"}


def _delay(reports: list[DayReport]) -> float:
    return min((float(number) for number, one in enumerate(reports, start=1) if one.confirmed), default=float("inf"))
