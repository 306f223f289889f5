"""A day's profiles to the faults of its data: what is wrong with a sensor or its upload, as opposed to drift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from har.monitoring.profiles._profile import QUALITY, Profile
from har.monitoring.profiles._profiles import SubjectDay

Fault = Literal["coverage", "gaps", "saturation", "stuck", "no_signal"]


@dataclass(frozen=True)
class QualityAlarm:
    """A fault of the data: `value` lies beyond `limit`; `sentence` says what is wrong, and whose data it is."""

    kind: Fault
    subject: str
    value: float
    limit: float
    sentence: str


@dataclass(frozen=True)
class Limits:
    """A subject's day beyond one of these has a data fault.

    Attributes:
        coverage: smallest share of a recording's time that has samples; below it most activities are unknown.
        gaps_per_h: largest number of gaps per hour; a gap every ten seconds leaves few complete windows.
        saturated: largest share of samples at full scale; at five percent the peaks of most strides are clipped.
        stuck: largest share of samples that repeat the previous one.
        no_signal: largest share of windows without a signal; told where no other fault of the samples explains them.
        still: log variance below which a channel does not move at all: just above log(1e-4), the floor that the
            features add.
        moving: log variance of another channel above which the device did move.
    """

    coverage: float = 0.5
    gaps_per_h: float = 360.0
    saturated: float = 0.05
    stuck: float = 0.2
    no_signal: float = 0.2
    still: float = math.log(1.5e-4)
    moving: float = math.log(1e-2)


def quality_alarms(days: Sequence[SubjectDay], limits: Limits | None = None) -> tuple[QualityAlarm, ...]:
    """The day's data faults by subject; several profiles of one subject are checked separately.

    Args:
        days: the day's profiles. Counters are means over the recordings of a profile.
        limits: None: the defaults.
    """
    limits = limits or Limits()
    found: list[QualityAlarm] = []
    for day in sorted(days, key=lambda day: (day.subject, day.placement, day.device)):
        whose = " ".join(part for part in (day.subject, day.placement, day.device) if part)
        found.extend(_counted(day.subject, whose, day.profile, limits))
        found.extend(_still(day.subject, whose, day.profile, limits))
    return tuple(found)


def _counted(subject: str, whose: str, profile: Profile, limits: Limits) -> list[QualityAlarm]:
    """Counters beyond their limits: coverage too low, or any other counter too high."""
    checks: tuple[tuple[Fault, str, float, str], ...] = (
        ("coverage", "coverage", limits.coverage, "samples cover {:.0%} of the recordings' time, less than {:.0%}"),
        ("gaps", "gaps_per_h", limits.gaps_per_h, "{:.0f} gaps an hour, more than {:.0f}"),
        ("saturation", "saturated", limits.saturated, "{:.0%} of the samples are at full scale, more than {:.0%}"),
        ("stuck", "stuck", limits.stuck, "{:.0%} of the samples repeat the previous one, more than {:.0%}"),
        ("no_signal", "no_signal", limits.no_signal, "{:.0%} of the windows have no signal, more than {:.0%}"),
    )
    alarms: list[QualityAlarm] = []
    for kind, counter, limit, words in checks:
        if kind == "no_signal" and any(alarm.kind in ("saturation", "stuck") for alarm in alarms):
            continue
        value = _mean(profile, counter)
        if value is not None and (value < limit if kind == "coverage" else value > limit):
            alarms.append(QualityAlarm(kind, subject, value, limit, f"{whose}: {words.format(value, limit)}."))
    return alarms


def _still(subject: str, whose: str, profile: Profile, limits: Limits) -> list[QualityAlarm]:
    """Channels that do not move while others do."""
    suffix = ".log_var"
    medians = {
        name.removesuffix(suffix): float(profile.quantiles(name, [0.5])[0])
        for name in profile.names
        if name.endswith(suffix) and not name.endswith(f"_norm{suffix}") and profile.count(name)
    }
    still = [name for name, value in medians.items() if value < limits.still]
    if not still or max(medians.values()) < limits.moving:
        return []
    verb = "does" if len(still) == 1 else "do"
    sentence = f"{whose}: {', '.join(still)} {verb} not move while other channels do."
    return [QualityAlarm("stuck", subject, min(medians[name] for name in still), limits.still, sentence)]


def _mean(profile: Profile, counter: str) -> float | None:
    name = f"{QUALITY}{counter}"
    return profile.mean(name) if name in profile.names and profile.count(name) else None
