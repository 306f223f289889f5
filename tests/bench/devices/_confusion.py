"""The confusion of named and true cause, by fault and length, on subjects that the reference has not seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from har.devices import DeviceReference, Recorded, Wearer, axes_of, diagnose, learn, timing
from har.devices._axes import ways
from har.devices._recorded import motion
from tests.bench.devices._data import People, even, spread
from tests.bench.devices._faults import Fault, changed, faults

GAP_S = 0.5
EACH_S = 12.0
"""Seconds of one recording that are shown."""


@dataclass(frozen=True)
class Case:
    """One diagnosis.

    Attributes:
        subject: of the held-out people.
        seconds: how much was shown.
        true: the cause.
        fault: its name.
        named: the first finding's code, or "none".
        all: every code that was named.
        worn_so: the fault is a way in which the reference's people differ themselves; nothing is wrong then.
    """

    subject: str
    seconds: float
    true: str
    fault: str
    named: str
    all: tuple[str, ...]
    worn_so: bool = False


def reference_of(people: People, rate_hz: float) -> DeviceReference:
    """What a training on these people would store."""
    wearers, rates, uneven = [], [], []
    for subject, recorded in people.items():
        wearers.append(Wearer(subject, recorded[0].placement, motion(recorded, rate_hz, GAP_S)))
        found = timing(recorded, rate_hz, GAP_S)
        rates.append(found.rate_hz)
        uneven.append(found.uneven)
    reference = learn(wearers, rate_hz=rate_hz, rates_hz=rates, uneven=uneven)
    assert reference is not None
    return reference


def cases(
    people: People,
    rate_hz: float,
    *,
    lengths_s: Sequence[float],
    folds: int = 3,
    elsewhere: People | None = None,
    other_side: People | None = None,
    only: Sequence[str] = (),
) -> list[Case]:
    """Every fault on every held-out subject; each subject is held out once.

    Args:
        people: recordings by subject.
        rate_hz: of the project.
        lengths_s: how much of each held-out subject is shown.
        folds: groups of subjects; the reference is learned on the others.
        elsewhere: people who wear a device at another place, for the cause "placement".
        other_side: the same people with the device on the other side of the body, for the cause "mirrored".
        only: names of faults; empty: all.
    """
    found = []
    names = sorted(people)
    for fold in range(folds):
        held_out = names[fold::folds]
        reference = reference_of({name: people[name] for name in names if name not in held_out}, rate_hz)
        for seconds in lengths_s:
            for subject in held_out:
                shown = spread(people[subject], seconds, EACH_S)
                for true, name, fault in faults():
                    if not only or name in only:
                        found += _diagnosed(reference, shown, rate_hz, (true, name, fault), subject, seconds)
        others = [("placement", "elsewhere", pair) for pair in list((elsewhere or {}).items())[fold::folds]]
        others += [("mirrored", "other side", (name, (other_side or {})[name])) for name in held_out if other_side]
        stated = next(iter(reference.worn))
        for true, name, (subject, recorded) in others:
            for seconds in lengths_s if not only or name in only else ():
                shown = [even(replace(one, placement=stated), rate_hz) for one in spread(recorded, seconds, EACH_S)]
                found += _diagnosed(reference, shown, rate_hz, (true, name, lambda one, _: one), subject, seconds)
    return found


def _diagnosed(
    reference: DeviceReference,
    shown: list[Recorded],
    rate_hz: float,
    kind: tuple[str, str, Fault],
    subject: str,
    seconds: float,
) -> list[Case]:
    true, name, fault = kind
    draw = np.random.default_rng([len(subject), *subject.encode(), round(seconds)])
    faulty = [fault(one, draw) for one in shown]
    if true != "none" and fault(shown[0], draw) is not shown[0] and not changed(shown, faulty):
        return []
    found = diagnose(faulty, reference, rate_hz=rate_hz, max_gap_s=GAP_S)
    codes = tuple(one.code for one in found.findings)
    return [Case(subject, seconds, true, name, codes[0] if codes else "none", codes, _worn_so(reference, name))]


def _worn_so(reference: DeviceReference, fault: str) -> bool:
    """Whether the reference's own people differ in this way."""
    kind, _, axes = fault.partition(" ")
    matrix = axes_of(axes) if kind in ("axes", "mirrored") else None
    if matrix is None:
        return False
    (worn,) = reference.worn.values()
    other = matrix if kind == "axes" else -matrix
    usual = [(np.eye(3), np.eye(3))]
    usual += [(ways()[way.accelerometer], ways()[way.gyroscope]) for way in worn.allowed]
    # A fault that makes one natural way another one cannot be told from the wearer's habit.
    return any(
        np.array_equal(matrix @ before[0], after[0]) and np.array_equal(other @ before[1], after[1])
        for before in usual
        for after in usual
    )


def right(case: Case) -> bool:
    """Whether the first finding names the cause.

    A device turned by half a turn and one on the other side of the body are one cause where the reference's people wear
    it both ways: the one is the other on another person.
    """
    if case.worn_so:
        return case.named == "none"
    alike = {"turned": {"turned", "mirrored"}, "mirrored": {"turned", "mirrored"}}
    return case.named in alike.get(case.true, {case.true})


def summary(found: Sequence[Case]) -> dict[str, dict[str, object]]:
    """By true cause: cases, share right, and how often each cause was named."""
    by: dict[str, list[Case]] = {}
    for case in found:
        by.setdefault("none" if case.worn_so else case.true, []).append(case)
    return {
        true: {
            "cases": len(some),
            "right": round(float(np.mean([right(case) for case in some])), 4),
            "named": dict(Counter(case.named for case in some).most_common()),
        }
        for true, some in by.items()
    }
