"""Releases as they are recorded, and figures of a running system, for the pages about them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from har.pages import Answers, Curve, FigureBox

BEGAN = 1_767_600_000.0


@dataclass(frozen=True)
class Line:
    """A line of a release's history, with the fields of `har.release.Record` that its page reads."""

    when: float
    what: str
    step: str
    share: float
    sentence: str
    verdict: str = ""
    measures: Sequence[dict[str, Any]] = ()
    outcome: str = ""
    who: str = "the judge"
    release: str = "v3-1767600000000"
    version: int = 3
    former: int = 2


def check(
    name: str, value: float | None, limit: float | None, verdict: str, reason: str, n: int = 240
) -> dict[str, Any]:
    return {"name": name, "value": value, "limit": limit, "n": n, "subjects": 6, "verdict": verdict, "reason": reason}


GOOD = (
    check("failed", 0.0, 0.02, "pass", "failed: 0 of 240 requests failed, at most 2 % may."),
    check("accuracy", -0.004, -0.05, "pass", "accuracy: at most 0.4 points below version 2's, 5 may be."),
)
BAD = (check("failed", 0.5, 0.02, "fail", "failed: 12 of 24 requests of the last 10 s failed, at most 2 % may.", 24),)


def promoted() -> list[Line]:
    """A good version: shadow, three steps, everybody."""
    return [
        Line(BEGAN, "started", "", 0.0, "is to replace version 2: it was promoted", who="anna"),
        Line(BEGAN + 4, "advanced", "shadow", 0.0, "shadow: its replicas are ready"),
        Line(BEGAN + 14, "advanced", "5 %", 0.05, "5 %: no worse than version 2", "pass", GOOD),
        Line(BEGAN + 22, "held", "5 %", 0.05, "stays at 5 %: 2 subjects of 3", "hold", ()),
        Line(BEGAN + 30, "advanced", "50 %", 0.5, "50 %: no worse than version 2", "pass", GOOD),
        Line(BEGAN + 40, "promoted", "50 %", 1.0, "serves everybody: no worse than version 2", "pass", GOOD),
        Line(BEGAN + 44, "ended", "50 %", 1.0, "version 3 serves, and the former one has ended", outcome="promoted"),
    ]


def rolled_back() -> list[Line]:
    """A version whose answers fail at 25 %."""
    return [
        Line(BEGAN, "started", "", 0.0, "is to replace version 2: a person started it", who="anna"),
        Line(BEGAN + 4, "advanced", "5 %", 0.05, "5 %: its replicas are ready"),
        Line(BEGAN + 14, "advanced", "25 %", 0.25, "25 %: no worse than version 2", "pass", GOOD),
        Line(BEGAN + 21.4, "ended", "25 %", 0.25, "rolled back at 25 %: half fails", "fail", BAD, "rolled back"),
    ]


def answers() -> list[Answers]:
    """What both versions answered while `rolled_back` went on."""
    new, old = [], []
    for second in range(30):
        share = 0.25 if 14 <= second < 21 else 0.05 if 4 <= second < 14 else 0.0
        failing = 4.0 if 19 <= second < 21 else 0.0
        new.append((BEGAN + second, 40 * share, failing))
        old.append((BEGAN + second, 40 * (1 - share), 0.0))
    return [Answers(3, tuple(new), exact=True), Answers(2, tuple(old), exact=True)]


def figures() -> list[FigureBox]:
    """A dashboard: good and bad numbers, courses of one and of many series, a figure without any."""

    def wave(number: int, height: float = 1.0) -> tuple[tuple[float, float], ...]:
        return tuple((BEGAN + 15 * i, height * (1.2 + math.sin(i / 9 + number))) for i in range(120))

    return [
        FigureBox("Alerts that fire", "Now", "", "stat", (Curve("", ((BEGAN, 2.0),), "bad"),), ((1, "bad"),)),
        FigureBox("Answers", "Now", "", "stat", (Curve("online", ((BEGAN, 1.0),), "good", "up"),)),
        FigureBox("Since the last success", "Now", "age", "stat", (Curve("score", ((BEGAN, 93_000.0),)),)),
        FigureBox("Accuracy on labelled windows", "Now", "share", "stat", (), empty="without labels"),
        FigureBox(
            "Failed share by version",
            "Online service",
            "share",
            "line",
            (Curve("version 2", wave(0, 0.001), "warn"), Curve("version 3", wave(2, 0.004), "bad")),
            ((0.001, "warn"), (0.02, "bad")),
            "Answers 5xx of the service; the objective is below 0.1 %.",
        ),
        FigureBox(
            "Windows by activity",
            "Online service",
            "/s",
            "line",
            tuple(Curve(f"activity {number}", wave(number)) for number in range(8)),
            help="A class that is suddenly missing is a fault.",
        ),
        FigureBox("Free disk", "Online service", "share", "line", (), empty="before the first run"),
    ]
