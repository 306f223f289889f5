"""Diagnose a device: physics first, then a comparison with the reference; each step mends what the one before found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from har.devices import _words as words
from har.devices._clues import DEGREES, TIMES, Clues, clues, law_at
from har.devices._finding import Diagnosis, Finding
from har.devices._physics import accelerometer_unit, clipping, gravity_share, gyroscope_unit, missing_gravity
from har.devices._recorded import Recorded, Timing, motion, timing
from har.devices._reference import LONG_S, DeviceReference, Worn, rate_scores, unlikeness
from har.devices._signal import LEAST_S, Motion
from har.devices._ways import PRIORS, is_allowed, likely, scores

_UNEVEN = 0.05
_UNEVEN_SLACK = (1.4, 0.02)
_SLOW = 0.9
_UNIT_LEAD = 3.0
_LAW_LEAD = 4.0
"""Without a reference: how far a way must be above the stated one."""
_TURNS = (math.log(0.7), 1.2)
"""Log of rad/s of a device that is worn and moves, mean and spread; without a reference."""
_TEMPO = (math.log(1.6), 0.5)
_RATE_LEAD = 3.0
_FILTERED = -6.0
"""Decades; without a reference. Noise and movements above 10 Hz are not a millionth of those between 1 and 4 Hz."""
_TURNS_AGREE = 0.02
"""How far the law must be better at another rate."""
_OPEN = 1.0
"""A way that is no more than this below the best one cannot be ruled out."""


@dataclass
class _Case:
    recorded: Sequence[Recorded]
    motion: Motion
    timing: Timing
    reference: DeviceReference | None
    worn: Worn | None
    placement: str
    findings: list[Finding] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)

    @property
    def codes(self) -> set[str]:
        return {one.code for one in self.findings}


def diagnose(
    recorded: Sequence[Recorded],
    reference: DeviceReference | None,
    *,
    rate_hz: float,
    max_gap_s: float,
    beside: str = "",
) -> Diagnosis:
    """Say what is off about one device, ranked.

    Args:
        recorded: its recordings at one place of the body.
        reference: what devices were like at training; None: physics alone.
        rate_hz: of the project.
        max_gap_s: a longer pause between two samples is a gap.
        beside: what the reference is, in words.
    """
    first = recorded[0]
    found = motion(recorded, rate_hz, max_gap_s)
    worn, placement = _choose(reference, first.placement)
    case = _Case(recorded, found, timing(recorded, rate_hz, max_gap_s), reference, worn, placement)
    _judge_timing(case, rate_hz)
    if found.seconds < LEAST_S:
        case.undecided.append(words.too_short(found.seconds))
    else:
        _judge_acceleration(case)
        if "gravity" not in case.codes:
            _judge_motion(case)
    ranked = sorted(case.findings, key=lambda one: -one.strength)
    if reference is None:
        beside = "physics alone: no version has a device reference yet"
    return Diagnosis(
        first.device, first.placement, found.seconds, beside, tuple(ranked), tuple(dict.fromkeys(case.undecided))
    )


def _choose(reference: DeviceReference | None, placement: str) -> tuple[Worn | None, str]:
    """The devices of the stated placement; of an unknown one, those of the most subjects."""
    if reference is None or not reference.worn:
        return None, ""
    most = max(reference.worn, key=lambda one: reference.worn[one].subjects)
    name = placement if placement in reference.worn else most
    return reference.worn[name], name


def _judge_timing(case: _Case, rate_hz: float) -> None:
    found, reference = case.timing, case.reference
    slowest = reference.rates_hz[0] if reference and reference.rates_hz[0] else rate_hz
    if 0 < found.rate_hz < _SLOW * min(slowest, rate_hz):
        case.findings.append(words.too_slow(found.rate_hz, rate_hz))
    usual = reference.uneven if reference else 0.0
    limit = max(_UNEVEN, _UNEVEN_SLACK[0] * usual + _UNEVEN_SLACK[1])
    if found.uneven > limit and "rate" not in case.codes:
        case.findings.append(words.uneven(found, usual))


def _judge_acceleration(case: _Case) -> None:
    """Unit, gravity and clipping; the case's motion is in m/s² afterwards."""
    finding, factor = accelerometer_unit(case.motion, case.recorded[0].units["accelerometer"])
    if finding:
        case.findings.append(finding)
        case.motion = case.motion.scaled(acceleration=factor)
    else:
        missing = missing_gravity(case.motion)
        case.findings += [missing] if missing else []
        if math.isnan(gravity_share(case.motion)):
            case.undecided.append(words.NO_WINDOWS)
    clipped = clipping(list(case.recorded), factor)
    case.findings += [clipped] if clipped else []


def _judge_motion(case: _Case) -> None:
    found = case.worn.clues(case.motion) if case.worn else clues(case.motion)
    if case.motion.has_gyroscope and _judge_turns(case, found):
        found = case.worn.clues(case.motion) if case.worn else clues(case.motion)
    is_long = case.motion.seconds >= LONG_S
    elsewhere = _elsewhere(case, is_long)
    table = _ways(case, found)
    fine = is_allowed(case.worn.allowed if case.worn else ())
    best = int(np.where(fine, -np.inf, table).argmax())
    lead = float(table[best] - table[fine].max())
    beyond = lead - (case.worn.lead[is_long] if case.worn else _LAW_LEAD)
    times, faster = _rate(case, found, is_long)
    # A way has its prior against it, which must not make room for a rate.
    if faster > max(0.0, lead - PRIORS[likely()[best].sort]) and "rate" not in case.codes:
        case.findings.append(words.wrong_rate(case.timing.rate_hz, times, case.recorded[0].counted))
        return
    if case.worn is not None and (elsewhere or _is_unlike(case.worn, found, is_long)):
        case.findings.append(words.placement(case.placement, elsewhere, case.worn))
        return
    if "rate" not in case.codes:
        _judge_filter(case, found, is_long)
    if beyond > 0:
        case.findings.append(words.way(likely()[best], beyond, case.worn))
    elif lead > -_OPEN:
        case.undecided.append(words.WAYS_OPEN if case.worn else words.WAYS_WITHOUT)


def _ways(case: _Case, found: Clues) -> NDArray[np.float64]:
    if case.worn:
        return case.worn.ways(found)
    return scores(found.law, None, None, ())


def _judge_turns(case: _Case, found: Clues) -> bool:
    """Name a wrong unit of the angular rate, and mend the case's motion."""
    if math.isnan(found.turning):
        case.undecided.append(words.STILL)
        return False
    mean, spread = case.worn.turning if case.worn and math.isfinite(case.worn.turning[1]) else _TURNS
    usual = case.worn.gain if case.worn else 1.0
    units = (1.0, DEGREES, 1 / DEGREES)
    table = [
        law_at(case.motion, usual * unit, None) - ((found.turning + math.log(unit) - mean) / spread) ** 2 / 2
        for unit in units
    ]
    best = int(np.argmax(table))
    if best == 0 or table[best] - table[0] < _UNIT_LEAD:
        return False
    case.findings.append(gyroscope_unit(case.recorded[0].units["gyroscope"], units[best]))
    case.motion = case.motion.scaled(rate=units[best])
    return True


def _is_unlike(worn: Worn, found: Clues, is_long: bool) -> bool:
    """Whether it moves like nobody of the training."""
    if unlikeness(worn, found) < worn.nearness[is_long]:
        return True
    pairs = ((float(found.tempo[0]), worn.tempo_range), (found.turning, worn.turning_range))
    return is_long and any(value < low or value > high for value, (low, high) in pairs)


def _rate(case: _Case, found: Clues, is_long: bool) -> tuple[float, float]:
    """How often faster than stated the samples were taken, by movements and turns, and the score beyond the limit.

    Movements alone can be slow because the wearer is: with a gyroscope its turns must agree.
    """
    if not np.isfinite(found.tempo).all():
        return 1.0, 0.0
    if case.worn:
        table, limit, gain = case.worn.rates(case.motion, found), case.worn.rate_lead[is_long], case.worn.gain
    elif case.motion.has_gyroscope:
        table, limit, gain = rate_scores(case.motion, found, 1.0, _TEMPO, 0), _RATE_LEAD, 1.0
    else:
        return 1.0, 0.0
    best = int(table[1:].argmax()) + 1
    score = float(table[best] - table[0])
    if case.motion.has_gyroscope:
        usual, other = law_at(case.motion, gain), law_at(case.motion, gain / TIMES[best])
        score = score if other > usual + _TURNS_AGREE else 0.0
    return TIMES[best], score if score > limit else 0.0


def _judge_filter(case: _Case, found: Clues, is_long: bool) -> None:
    limit = case.worn.high[is_long] if case.worn and math.isfinite(case.worn.high[is_long]) else _FILTERED
    if not math.isnan(found.high) and found.high < limit and "jitter" not in case.codes:
        case.findings.append(words.filtered(found.high, limit))


def _elsewhere(case: _Case, is_long: bool) -> str:
    """The placement whose windows are clearly nearer than those of the stated one; "": none."""
    if case.reference is None or case.worn is None or len(case.reference.worn) < 2:
        return ""
    fits = {}
    for placement, worn in case.reference.worn.items():
        fits[placement] = unlikeness(worn, worn.clues(case.motion)) - worn.nearness[is_long]
    best = max(fits, key=lambda one: fits[one])
    return best if best != case.placement and fits[case.placement] < 0 < fits[best] else ""
