"""Profiles of a day in, faults of its data out: what is wrong with a sensor or its upload, not with the world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from har.monitoring.drift._day import QualityAlarm
from har.monitoring.drift._watch import SubjectDay
from har.monitoring.profiles._profile import QUALITY, Profile

Kind = Literal["coverage", "gaps", "saturation", "stuck"]


@dataclass(frozen=True)
class Limits:
    """Beyond these, a subject's day counts as faulty.

    Attributes:
        coverage: least share of a recording's time that has samples; with less, the activities of most of it are
            unknown.
        gaps_per_h: most gaps per hour; one every ten seconds leaves few windows whole.
        saturated: largest share of samples at full scale; at five percent the peaks of most strides are gone.
        stuck: largest share of samples that repeat the ones before.
        still: a channel's logarithm of variance below which it does not move at all: just above the floor that the
            features add, log(1e-4).
        moving: another channel's above which the device was moved meanwhile.
    """

    coverage: float = 0.5
    gaps_per_h: float = 360.0
    saturated: float = 0.05
    stuck: float = 0.2
    still: float = math.log(1.5e-4)
    moving: float = math.log(1e-2)


def quality_alarms(days: Sequence[SubjectDay], limits: Limits | None = None) -> tuple[QualityAlarm, ...]:
    """The day's faults, subject by subject; of several profiles of one subject each is looked at by itself.

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
    """Counters beyond their limits: too little coverage, too much of everything else."""
    told: tuple[tuple[Kind, str, float, str], ...] = (
        ("coverage", "coverage", limits.coverage, "samples cover {:.0%} of the recordings' time, less than {:.0%}"),
        ("gaps", "gaps_per_h", limits.gaps_per_h, "{:.0f} gaps an hour, more than {:.0f}"),
        ("saturation", "saturated", limits.saturated, "{:.0%} of the samples are at full scale, more than {:.0%}"),
        ("stuck", "stuck", limits.stuck, "{:.0%} of the samples repeat the ones before, more than {:.0%}"),
    )
    alarms = []
    for kind, counter, limit, words in told:
        value = _mean(profile, counter)
        if value is not None and (value < limit if kind == "coverage" else value > limit):
            alarms.append(QualityAlarm(kind, subject, value, limit, f"{whose}: {words.format(value, limit)}."))
    return alarms


def _still(subject: str, whose: str, profile: Profile, limits: Limits) -> list[QualityAlarm]:
    """Channels that stand still while others move."""
    suffix = ".log_var"
    medians = {
        name.removesuffix(suffix): float(profile.quantiles(name, [0.5])[0])
        for name in profile.names
        if name.endswith(suffix) and not name.endswith(f"_norm{suffix}") and profile.count(name)
    }
    still = [name for name, value in medians.items() if value < limits.still]
    if not still or max(medians.values()) < limits.moving:
        return []
    said = f"{whose}: {', '.join(still)} stand{'s' if len(still) == 1 else ''} still while others move."
    return [QualityAlarm("stuck", subject, min(medians[name] for name in still), limits.still, said)]


def _mean(profile: Profile, counter: str) -> float | None:
    name = f"{QUALITY}{counter}"
    return profile.mean(name) if name in profile.names and profile.count(name) else None
