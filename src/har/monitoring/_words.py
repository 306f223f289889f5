"""Values in, what people read out: the reports' numbers, moments and names."""

from __future__ import annotations

import datetime as dt
import math

from har.monitoring.drift import DayReport
from har.monitoring.profiles import QualityAlarm

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
FAULTS = {"coverage": "Coverage", "gaps": "Gaps", "saturation": "Saturation", "stuck": "Stuck values"}


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
    """At most two digits that matter; what lies below the alarm level never reads as if it had reached it."""
    if value is None or not 0 <= value < 1:
        return digits(value)
    return f"{min(value, 0.99):.2f}" if value >= 0.005 else "0"


def percent(value: float | None) -> str:
    """A share 0 … 1 in percent."""
    return NOTHING if value is None or not math.isfinite(value) else f"{100 * value:.1f}{_GAP}%"


def count(value: float) -> str:
    """A whole number, thousands set apart."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def counted(value: int, noun: str) -> str:
    """`1 subject`, `2 subjects`."""
    return f"{count(value)}{_GAP}{noun}{'' if value == 1 else 's'}"


def moment(value: dt.datetime | None) -> str:
    """Date and time to the minute, in UTC."""
    if value is None:
        return NOTHING
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC)
    return f"{value:%Y-%m-%d %H:%M}{_GAP}UTC"


def action(name: str) -> str:
    """An action as people call it."""
    return ACTIONS.get(name, name)


def fault_value(alarm: QualityAlarm, value: float) -> str:
    """`value` or `limit` of an alarm in the unit of its kind."""
    return f"{digits(value)}/h" if alarm.kind == "gaps" else percent(value)


def state(report: DayReport) -> str:
    """One of `confirmed`, `alarm`, `calm` and `unjudged`."""
    if not report.judged:
        return "unjudged"
    if report.confirmed:
        return "confirmed"
    return "alarm" if report.alarmed else "calm"


STATES = {
    "confirmed": "Drift confirmed",
    "alarm": "Drift alarm",
    "calm": "No drift",
    "unjudged": "Not judged",
}
