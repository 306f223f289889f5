"""What the devices of the training's subjects are like, learned at training and stored with the version as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.devices._clues import TIMES, Clues, clues, law_at
from har.devices._shape import Neighbours, Shape
from har.devices._signal import Motion
from har.devices._ways import NATURAL, Way, is_allowed, lead, likely, scores
from har.errors import ModelError
from har.files import write_atomically

DEVICE_REFERENCE = "devices.json"
"""The version's artifact for `DeviceReference.read`."""
LEAST_SUBJECTS = 3
LONG_S = 25.0
"""Seconds from which on the limits of long stretches hold."""
_FORM = 1
_NEIGHBOURS = 300
_LENGTHS_S = ((12.0, 3), (40.0, 2))
"""Stretches of a subject on which limits are learned, and how many; and all of what was measured."""
_QUANTILE = 0.985
_WORN_SO = 0.1
"""Share of subjects that fit a way better than none: from it on, people simply differ in it."""
_CLEARLY = 3.0
"""A lead that only a device that is worn so has."""
_MOST_WAYS = 6
_GAINS = (0.7, 0.8, 0.9, 1.0, 1.1)
_HIGH_MARGIN = 1.0
"""Decades below all subjects."""
_FAR = 2.0
_RANGE_MARGIN = 0.15
"""Of log frequency and log rate, beyond all long stretches."""
_LEAST_SPREAD = {"tempo": 0.12, "turning": 0.5}


@dataclass(frozen=True, eq=False)
class Wearer:
    """One subject's motion with a device at one place of the body."""

    subject: str
    placement: str
    motion: Motion


@dataclass(frozen=True, eq=False)
class Worn:
    """Devices worn at one place, as `learn` saw them.

    Attributes:
        subjects: how many.
        near, near_rate: windows of the accelerometer and of the gyroscope.
        allowed: ways in which these people themselves differ.
        lead: from this lead on a faulty way is named, of stretches shorter than `LONG_S` and of longer ones.
        gain: of the angular rate, at which the law holds best.
        tempo: mean and standard deviation over short stretches, and over long ones, see `Clues`.
        turning: over all stretches.
        rate_lead: from this lead on a wrong rate is named, likewise.
        tempo_range, turning_range: all long stretches lie within, with a margin.
        high: no stretch has less power at high frequencies, with a margin, likewise.
        nearness: no stretch is further from the others' windows, likewise.
    """

    subjects: int
    near: Neighbours
    near_rate: Neighbours | None
    allowed: tuple[Way, ...]
    lead: tuple[float, float]
    gain: float
    tempo: tuple[tuple[float, float], tuple[float, float]]
    turning: tuple[float, float]
    rate_lead: tuple[float, float]
    tempo_range: tuple[float, float]
    turning_range: tuple[float, float]
    high: tuple[float, float]
    nearness: tuple[float, float]

    def clues(self, motion: Motion) -> Clues:
        """What a motion shows beside these devices."""
        return clues(motion, self.near, self.near_rate)

    def ways(self, found: Clues) -> NDArray[np.float64]:
        """The score of each way, see `scores`."""
        return scores(found.law, found.near, found.near_rate, self.allowed)

    def rates(self, motion: Motion, found: Clues, way: int = 0) -> NDArray[np.float64]:
        """The score of each of `TIMES`."""
        return rate_scores(motion, found, self.gain, self.tempo[motion.seconds >= LONG_S], way)


@dataclass(frozen=True, eq=False)
class DeviceReference:
    """What devices were like at training, by placement.

    Attributes:
        rate_hz: of the project.
        rates_hz: smallest and largest measured rate of a recording; (0, 0): unknown.
        uneven: largest share of a recording's samples without a measured one near.
        worn: by placement, "" where unknown or where no placement has enough subjects.
    """

    rate_hz: float
    rates_hz: tuple[float, float]
    uneven: float
    worn: Mapping[str, Worn]

    def write(self, path: Path) -> None:
        """As JSON.

        Raises:
            OSError: the disk refuses.
        """
        write_atomically(path, json.dumps({"form": _FORM, **_plain(self)}))

    @classmethod
    def read(cls, path: Path) -> DeviceReference:
        """Of `write`.

        Raises:
            ModelError: the file is damaged, or of a newer release.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["form"] != _FORM:
                raise ValueError(f"form {values['form']}")
            worn = {placement: _worn(one) for placement, one in values["worn"].items()}
            return cls(values["rate_hz"], tuple(values["rates_hz"]), values["uneven"], worn)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise ModelError(
                where=str(path),
                expected=f"a device reference of form {_FORM}",
                got=f"{type(error).__name__}: {error}",
                remedy="Train again with this release: har train.",
            ) from error


def learn(
    wearers: Iterable[Wearer],
    *,
    rate_hz: float,
    rates_hz: Sequence[float] = (),
    uneven: Sequence[float] = (),
    seed: int = 0,
) -> DeviceReference | None:
    """Learn what devices are like, and from when on a difference is more than one between people.

    Every limit is set by leaving each subject out: what is found about people whose devices are right must be rare.

    Args:
        wearers: motion per subject and placement, in SI units.
        rate_hz: of all motions.
        rates_hz: measured rate of each recording.
        uneven: share of each recording's samples without a measured one near.
        seed: of the choice of windows.

    Returns:
        None: there are fewer than three subjects.
    """
    by_placement: dict[str, list[Wearer]] = {}
    every = [one for one in wearers if len(one.motion.windows)]
    for one in every:
        by_placement.setdefault(one.placement, []).append(one)
    worn = {
        placement: _learn(group, seed)
        for placement, group in by_placement.items()
        if len({one.subject for one in group}) >= LEAST_SUBJECTS
    }
    if not worn and len({one.subject for one in every}) >= LEAST_SUBJECTS:
        worn = {"": _learn(every, seed)}
    if not worn:
        return None
    known = [rate for rate in rates_hz if rate > 0]
    limits = (float(min(known)), float(max(known))) if known else (0.0, 0.0)
    return DeviceReference(rate_hz, limits, float(max(uneven, default=0.0)), worn)


def rate_scores(motion: Motion, found: Clues, gain: float, tempo: tuple[float, float], way: int) -> NDArray[np.float64]:
    """How well each of `TIMES` fits the law and the tempo of the reference, float64 (3,)."""
    law = np.array([law_at(motion, gain / times, way) for times in TIMES])
    mean, spread = tempo
    odd = np.square((found.tempo - mean) / spread) / 2
    result: NDArray[np.float64] = law - np.nan_to_num(odd)
    return result


def _learn(group: Sequence[Wearer], seed: int) -> Worn:
    subjects = sorted({one.subject for one in group})
    motions = {name: _joined([one.motion for one in group if one.subject == name]) for name in subjects}
    gain = max(_GAINS, key=lambda one: sum(law_at(motion, one) for motion in motions.values()))
    seen: list[tuple[Motion, Clues, bool]] = []
    for name, motion in motions.items():
        near, near_rate = _neighbours([other for other in subjects if other != name], motions, seed)
        for part, is_whole in _stretches(motion):
            seen.append((part, clues(part, near, near_rate), is_whole))
    short, long = (
        _normal("tempo", [found.tempo[0] for part, found, _ in seen if (part.seconds >= LONG_S) == is_long])
        for is_long in (False, True)
    )
    turning = _normal("turning", [found.turning for _, found, _ in seen])
    near, near_rate = _neighbours(subjects, motions, seed)
    learned = Worn(
        subjects=len(subjects),
        near=near,
        near_rate=near_rate,
        allowed=_allowed([found for _, found, is_whole in seen if is_whole]),
        lead=(0.0, 0.0),
        gain=gain,
        tempo=(short, long),
        turning=turning,
        rate_lead=(0.0, 0.0),
        tempo_range=(-math.inf, math.inf),
        turning_range=(-math.inf, math.inf),
        high=_least_high(seen),
        nearness=(-math.inf, -math.inf),
    )
    leads = [lead(learned.ways(found), learned.allowed) for _, found, _ in seen]
    rates = [learned.rates(part, found) for part, found, _ in seen]
    best = [unlikeness(learned, found) for _, found, _ in seen]
    return replace(
        learned,
        lead=_limits(seen, leads, 0.0),
        rate_lead=_limits(seen, [float(max(one[1:]) - one[0]) for one in rates], 1.0),
        tempo_range=_range([found.tempo[0] for part, found, _ in seen if part.seconds >= LONG_S]),
        turning_range=_range([found.turning for part, found, _ in seen if part.seconds >= LONG_S]),
        nearness=_nearness(seen, best),
    )


def _limits(seen: Sequence[tuple[Motion, Clues, bool]], leads: Sequence[float], least: float) -> tuple[float, float]:
    """The limit of short and of long stretches; not below `least`."""
    limits = []
    for is_long in (False, True):
        chosen = [value for (part, _, _), value in zip(seen, leads, strict=True) if (part.seconds >= LONG_S) == is_long]
        limits.append(max(least, float(np.quantile(chosen, _QUANTILE)) if chosen else max(leads)))
    return limits[0], limits[1]


def _nearness(seen: Sequence[tuple[Motion, Clues, bool]], best: Sequence[float]) -> tuple[float, float]:
    """The limit of short and of long stretches: some standard deviations below the least near one."""
    limits = []
    for is_long in (False, True):
        chosen = [value for (part, _, _), value in zip(seen, best, strict=True) if (part.seconds >= LONG_S) == is_long]
        known = chosen or list(best)
        limits.append(min(known) - _FAR * float(np.std(known)))
    return limits[0], limits[1]


def _least_high(seen: Sequence[tuple[Motion, Clues, bool]]) -> tuple[float, float]:
    """The limit of short and of long stretches."""
    limits = []
    for is_long in (False, True):
        known = [one.high for part, one, _ in seen if (part.seconds >= LONG_S) == is_long and not math.isnan(one.high)]
        limits.append(min(known, default=-math.inf) - _HIGH_MARGIN)
    return limits[0], limits[1]


def _range(values: Sequence[float]) -> tuple[float, float]:
    known = np.array([value for value in values if not math.isnan(value)])
    if len(known) < LEAST_SUBJECTS:
        return -math.inf, math.inf
    margin = max(_RANGE_MARGIN, 2 * float(known.std()))
    return float(known.min()) - margin, float(known.max()) + margin


def unlikeness(worn: Worn, found: Clues) -> float:
    """The mean nearness of both sensors' windows in the way that fits best; small: nothing like it was trained on."""
    index = int(worn.ways(found).argmax())
    way = likely()[index]
    fits = [
        float(nearness[:, which].mean())
        for nearness, which in ((found.near, way.accelerometer), (found.near_rate, way.gyroscope))
        if nearness is not None
    ]
    return sum(fits) / max(1, len(fits))


def _allowed(found: Sequence[Clues]) -> tuple[Way, ...]:
    """Natural ways that a tenth of the subjects, and two at least, or one clearly, fit better than the others' ways.

    Each one that is found joins the ways that are no fault, before the next one is looked for.
    """
    allowed: list[Way] = []
    least = max(2.0, _WORN_SO * len(found))
    natural = np.array([way.sort in NATURAL for way in likely()])
    while len(allowed) < _MOST_WAYS:
        fine = is_allowed(allowed)
        tables = [scores(one.law, one.near, one.near_rate, allowed) for one in found]
        leads = np.array([table - table[fine].max() for table in tables]) * (natural & ~fine)
        counts = (leads > 0).sum(axis=0)
        best = int((counts + leads.max(axis=0) / (1 + leads.max())).argmax())
        if counts[best] < least and leads[:, best].max() < _CLEARLY:
            break
        allowed.append(likely()[best])
    return tuple(allowed)


def _stretches(motion: Motion) -> Iterable[tuple[Motion, bool]]:
    for seconds, most in _LENGTHS_S:
        for first in np.linspace(0, max(0.0, motion.seconds - seconds), most):
            part = motion.part(float(first), seconds)
            if len(part.windows) >= 4:
                yield part, False
    yield motion, True


def _joined(motions: Sequence[Motion]) -> Motion:
    first = motions[0]
    pieces = tuple(piece for one in motions for piece in one.pieces)
    return Motion(pieces, first.rate_hz, all(one.has_gyroscope for one in motions))


def _neighbours(
    subjects: Sequence[str], motions: Mapping[str, Motion], seed: int
) -> tuple[Neighbours, Neighbours | None]:
    """Windows of these subjects, about as many of each."""
    draw = np.random.default_rng(seed)
    share = max(1, _NEIGHBOURS // len(subjects))
    chosen = []
    for name in subjects:
        found = motions[name].windows
        chosen.append(found[np.sort(draw.permutation(len(found))[:share])])
    every = np.concatenate(chosen)
    same = np.eye(3)
    near = Neighbours.of(Shape.of(every[..., :3], is_accelerometer=True).described(same))
    if not all(motions[name].has_gyroscope for name in subjects):
        return near, None
    return near, Neighbours.of(Shape.of(every[..., 3:], is_accelerometer=False).described(same))


def _normal(name: str, values: Sequence[float]) -> tuple[float, float]:
    known = np.array([value for value in values if not math.isnan(value)])
    if not len(known):
        return 0.0, math.inf
    return float(known.mean()), max(_LEAST_SPREAD[name], float(known.std()))


def _plain(reference: DeviceReference) -> dict[str, Any]:
    worn = {}
    for placement, one in reference.worn.items():
        values = {name: value for name, value in vars(one).items() if name not in ("near", "near_rate", "allowed")}
        values["allowed"] = [asdict(way) for way in one.allowed]
        for name in ("near", "near_rate"):
            held: Neighbours | None = getattr(one, name)
            values[name] = held and {
                "described": np.round(held.described, 3).tolist(),
                "scales": np.round(held.scales, 6).tolist(),
            }
        worn[placement] = values
    return {**vars(reference), "worn": worn}


def _worn(values: Mapping[str, Any]) -> Worn:
    def held(name: str) -> Neighbours | None:
        found = values[name]
        return found and Neighbours(np.array(found["described"]), np.array(found["scales"]))

    near = held("near")
    if near is None:
        raise ValueError("no windows of the accelerometer")
    return Worn(
        **{
            **values,
            "near": near,
            "near_rate": held("near_rate"),
            "allowed": tuple(Way(**way) for way in values["allowed"]),
            "tempo": (tuple(values["tempo"][0]), tuple(values["tempo"][1])),
            "turning": tuple(values["turning"]),
            "tempo_range": tuple(values["tempo_range"]),
            "turning_range": tuple(values["turning_range"]),
            "high": tuple(values["high"]),
            "lead": tuple(values["lead"]),
            "nearness": tuple(values["nearness"]),
            "rate_lead": tuple(values["rate_lead"]),
        }
    )
