"""How numbers, times and names read on every page: the filters of the templates."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from har.monitoring.drift import DayReport
from har.monitoring.profiles import QualityAlarm
from har.pages._summaries import DaySummary

NOTHING = "–"
_GAP = "\N{NO-BREAK SPACE}"

ACTIONS = {
    "nothing": "Nothing to do",
    "watch": "Keep watching",
    "retrain": "Retrain",
    "ask": "Ask for labels",
    "hold": "Hold",
    "alert": "Alert: faulty data",
    "rollback": "Roll back",
}
FAULTS = {
    "coverage": "Coverage",
    "gaps": "Gaps",
    "saturation": "Saturation",
    "stuck": "Stuck values",
    "no_signal": "No signal",
}


def digits(value: float | None, *, signed: bool = False) -> str:
    """Two significant digits: 0.043, 1.2, 12, 1 200."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) < 0.0005:
        return "0"
    rounded = float(f"{value:.1e}")
    places = 1 - math.floor(math.log10(abs(rounded)))
    text = f"{rounded:{'+' if signed else ''},.{max(0, min(4, places))}f}"
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "−")


def shift(value: float | None) -> str:
    """Two significant digits with their sign."""
    return digits(value, signed=True)


def score(value: float | None) -> str:
    """At most two significant digits; a score below the alarm level 1 is never rounded up to 1."""
    if value is None or not 0 <= value < 1:
        return digits(value)
    return f"{min(value, 0.99):.2f}" if value >= 0.005 else "0"


def percent(value: float | None) -> str:
    """A share 0 … 1 in percent."""
    return NOTHING if value is None or not math.isfinite(value) else f"{100 * value:.1f}{_GAP}%"


def interval(low: float, high: float) -> str:
    """Two shares 0 … 1 in percent: `88.3 to 95.0 %`."""
    return f"{100 * low:.1f} to {100 * high:.1f}{_GAP}%"


def points(value: float) -> str:
    """A difference of two shares in percentage points, with its sign."""
    return f"{100 * value:+.1f}".replace("-", "−") + f"{_GAP}points"


def minutes(value: float | None) -> str:
    """A duration given in minutes: `50 s`, `1 min 50 s`, `7 h 17 min`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    seconds = round(60 * value)
    if seconds < 3600:
        minute, second = divmod(seconds, 60)
        parts = ((minute, "min"), (second, "s"))
    else:
        hour, minute = divmod(round(seconds / 60), 60)
        parts = ((hour, "h"), (minute, "min"))
    return _GAP.join(f"{number}{_GAP}{unit}" for number, unit in parts if number) or f"0{_GAP}s"


def count(value: float) -> str:
    """A whole number with a narrow space between thousands."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def counted(value: int, noun: str) -> str:
    """A number with its noun: `1 subject`, `2 subjects`, `3 activities`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and not noun.endswith("day") else f"{noun}s"
    return f"{count(value)}{_GAP}{noun if value == 1 else plural}"


def moment(value: dt.datetime | None) -> str:
    """Date and time to the minute, in UTC."""
    if value is None:
        return NOTHING
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC)
    return f"{value:%Y-%m-%d %H:%M}{_GAP}UTC"


def action(name: str) -> str:
    """The label of one of the policy's actions; other words stay as they are."""
    return ACTIONS.get(name, name)


def fault_value(alarm: QualityAlarm, value: float) -> str:
    """The `value` or the `limit` of an alarm, in the unit of its kind."""
    return f"{digits(value)}/h" if alarm.kind == "gaps" else percent(value)


def state(report: DayReport | DaySummary) -> str:
    """One of `confirmed`, `alarm`, `calm` and `unjudged`."""
    if not report.judged:
        return "unjudged"
    if report.confirmed:
        return "confirmed"
    return "alarm" if report.alarmed else "calm"


LEVELS = (0.5, 0.75, 1.0, 1.5, 3.0)
"""Scores at which the colours of heat maps change; the third one is the alarm level."""

STATES = {
    "confirmed": "Drift confirmed",
    "alarm": "Drift alarm",
    "calm": "No drift",
    "unjudged": "Not judged",
}


def breakable(name: str) -> Markup:
    """A name that may be broken after an underscore where it is too long for its column."""
    return escape(name).replace("_", Markup("_<wbr>"))


def fill(score: float) -> str:
    """How far a score's bar is filled, in percent; the alarm level 1 is always the middle of the bar."""
    return f"{100 * score / (1 + score):.1f}" if score > 0 else "0"


FILTERS: tuple[Callable[..., Any], ...] = (
    digits, shift, score, percent, interval, points, minutes, count, counted,
    moment, action, fault_value, state, breakable, fill,
)  # fmt: skip
"""What templates may call by name."""
