"""What a model version's training subjects look like, and how much subjects differ: what days are compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from har.errors import MonitoringError
from har.files import write_atomically
from har.monitoring.drift._bins import ACTIVITY, activity_codes, codes, edges, family, shares
from har.monitoring.drift._calibration import UNCOUNTED, Level, SubjectWindows, calibrate
from har.monitoring.drift._json import Array, to_json
from har.monitoring.drift.scores import alarming
from har.monitoring.profiles import CONFIDENCE

FORMAT = 3
"""3: a level per alarming score; 2, which is still read: one level, that of `distance`."""
_FEWEST = 2
_STRATUM = 3
"""A placement with fewer subjects than this has no stratum of its own."""


@dataclass(frozen=True, eq=False)
class Stratum:
    """A distribution that the model was trained on: one regime, of all placements together or of one.

    Attributes:
        regime: 0 is the original distribution; each retraining after drift adds one.
        placement: "" for all together.
        shares: mean over its subjects of the shares per bin, float64 (Q, B).
        levels: how far subjects lie apart, per alarming score.
    """

    regime: int
    placement: str
    shares: Array
    levels: dict[str, Level]

    def limits(self, windows: int, false_alarms: float) -> dict[str, NDArray[np.float64]]:
        """Per alarming score, the level of each quantity on one subject's day, float64 (Q,).

        Args:
            windows: how many the day has.
            false_alarms: how often a day without drift may alarm; the scores share it.
        """
        known = [score for score in alarming() if score.name in self.levels]
        return {
            score.name: np.maximum(
                self.levels[score.name].limits(windows, false_alarms / len(known)), score.least_level
            )
            for score in known
        }

    @property
    def subjects(self) -> int:
        """How many subjects it is of."""
        return next(iter(self.levels.values())).subjects

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which quantities may alarm, (Q,)."""
        return np.array([name != UNCOUNTED for name in next(iter(self.levels.values())).families])


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference of one model version.

    Quantities are the features, then `confidence`, then `activity=NAME` for each activity.

    Attributes:
        features: names of the profiled features, in the model's order.
        activities: those that the model can answer.
        edges: the bins' edges of features and confidence, float64 (F + 1, B - 1).
        median: of features and confidence, (F + 1,).
        deviation: standard deviation of them, (F + 1,).
        spread: interquartile range of them, (F + 1,).
        strata: by regime; within a regime the one of all placements first.
    """

    features: tuple[str, ...]
    activities: tuple[str, ...]
    edges: Array
    median: Array
    deviation: Array
    spread: Array
    strata: tuple[Stratum, ...]

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of everything that is compared, Q."""
        return (*self.features, CONFIDENCE, *(f"{ACTIVITY}{name}" for name in self.activities))

    def strata_for(self, placement: str) -> tuple[Stratum, ...]:
        """Per regime the stratum that a day from this placement alone is compared with ("": from several)."""
        found: dict[int, Stratum] = {}
        for stratum in self.strata:
            if stratum.placement in ("", placement):
                found[stratum.regime] = stratum
        return tuple(found.values())

    def to_json(self) -> str:
        """As JSON, floats in full: a constant feature lies exactly on an edge."""
        return to_json(_REFERENCE, self, format=FORMAT)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> Reference:
        """Read what `to_json` wrote, in this format or the one before.

        Raises:
            MonitoringError: something else wrote it, or no score that alarms has a level in it.
        """
        try:
            values = _current(json.loads(text))
            made = _REFERENCE.validate_python(values)
            if not made.strata or any(one.shares.shape[0] != len(made.quantities) for one in made.strata):
                raise ValueError("shares that do not fit the quantities")
            if any(all(score.name not in one.levels for score in alarming()) for one in made.strata):
                raise ValueError("no level of any score that alarms")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MonitoringError(
                where=where,
                expected="a reference as this version writes it",
                got=f"{type(error).__name__}: {error}",
                remedy="Train the model again, and promote it: har train.",
            ) from error
        return made

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        write_atomically(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Reference:
        """Read what `write` wrote.

        Raises:
            MonitoringError: the file is missing, or is no reference.
        """
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise MonitoringError(
                where=str(path),
                expected="the reference that is registered with the model",
                got=type(error).__name__,
                remedy="Train the model again, and promote it: har train.",
            ) from error
        return cls.from_json(text, where=str(path))


_REFERENCE = TypeAdapter(Reference)


def _current(values: dict[str, Any]) -> dict[str, Any]:
    """A reference as it is written now."""
    number = values.pop("format")
    if number == 2:
        for stratum in values["strata"]:
            stratum["levels"] = {"distance": stratum.pop("level")}
    elif number != FORMAT:
        raise ValueError(f"format {number!r}")
    return values


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model saw in N windows of its training subjects.

    Attributes:
        features: float32 (N, F), the profiled features.
        confidence: float (N,), the model's, 0 … 1.
        activities: str (N,), what the model answered.
        subjects: str (N,).
        recordings: int (N,), which recording (or gap-free piece of one) a window is from; in order of time within it.
        regimes: int (N,), which distribution a window is from; 0 is the original one.
        placements: str (N,), where the sensor was worn, "" where unknown; days from one placement are then compared
            with this placement. None: unknown.

    Raises:
        MonitoringError: arrays that do not fit, or values that are not finite.
    """

    features: NDArray[np.float32]
    confidence: NDArray[np.floating]
    activities: NDArray[np.str_]
    subjects: NDArray[np.str_]
    recordings: NDArray[np.integer]
    regimes: NDArray[np.integer]
    placements: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        shapes = {name: np.shape(values) for name, values in vars(self).items() if values is not None}
        windows = len(self.features)
        wrong = [f"{name} {shape}" for name, shape in shapes.items() if shape != (windows,) and name != "features"]
        if wrong or self.features.ndim != 2:
            raise _refuse(
                f"features ({windows}, F) and one value per window of each other array",
                ", ".join([f"features {self.features.shape}", *wrong]),
            )
        unfit = ~np.isfinite(self.values).all(1)
        if unfit.any():
            raise _refuse("finite features", f"{int(unfit.sum())} windows with others")

    @property
    def values(self) -> NDArray[np.float64]:
        """Features and confidence, float64 (N, F + 1)."""
        return np.column_stack([self.features, self.confidence]).astype(np.float64)

    def rows(self, regime: int, placement: str = "") -> NDArray[np.int64]:
        """The windows of a regime, from one placement or ("") all."""
        wanted = self.regimes == regime
        if placement and self.placements is not None:
            wanted &= self.placements == placement
        return np.flatnonzero(wanted)


def make_reference(
    seen: Seen, names: Sequence[str], *, classes: Sequence[str] | None = None, seed: int = 0
) -> Reference:
    """Make a model's reference from what it saw of its training subjects.

    Args:
        seen: N windows.
        names: of the F features.
        classes: all that the model can answer; None: those in `seen.activities`.
        seed: of the simulated days.

    Raises:
        MonitoringError: another number of names than features, or fewer than two subjects.
    """
    if seen.features.shape[1] != len(names):
        raise _refuse(f"{len(names)} features, one per name", f"features {seen.features.shape}")
    known = tuple(classes) if classes is not None else tuple(sorted(set(seen.activities.tolist())))
    values = seen.values
    cuts = edges(values)
    found = np.concatenate([codes(values, cuts), activity_codes(seen.activities, known)], axis=1)
    families = [family(name) for name in (*names, CONFIDENCE, *(f"{ACTIVITY}{name}" for name in known))]
    quartiles = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    return Reference(
        features=tuple(names),
        activities=known,
        edges=cuts,
        median=quartiles[1],
        deviation=values.std(0),
        spread=quartiles[2] - quartiles[0],
        strata=_strata(seen, found, families, np.random.default_rng(seed)),
    )


def _strata(
    seen: Seen, found: NDArray[np.uint8], families: Sequence[str], random: np.random.Generator
) -> tuple[Stratum, ...]:
    """One stratum per regime, and one per placement that enough of its subjects share; `found`: codes (N, Q)."""
    strata: list[Stratum] = []
    for regime in sorted(set(seen.regimes.tolist())):
        worn = set() if seen.placements is None else set(seen.placements[seen.rows(regime)].tolist())
        for placement in ("", *(sorted(worn - {""}) if len(worn) > 1 else ())):
            subjects = _by_subject(seen, found, seen.rows(regime, placement))
            if placement and len(subjects) < _STRATUM:
                continue
            mean = np.stack([shares(one.codes) for one in subjects]).mean(0)
            if len(subjects) >= _FEWEST:
                levels = calibrate(subjects, families, random=random)
            elif strata:
                # One subject cannot show how much subjects differ; those of the first regime can.
                levels = strata[0].levels
            else:
                raise _refuse("two subjects at least: days are judged by how much subjects differ", str(len(subjects)))
            strata.append(Stratum(regime, placement, mean, levels))
    return tuple(strata)


def _by_subject(seen: Seen, found: NDArray[np.uint8], rows: NDArray[np.int64]) -> list[SubjectWindows]:
    subjects = []
    for name in np.unique(seen.subjects[rows]):
        windows = rows[seen.subjects[rows] == name]
        # A recording's windows become adjacent, in their order.
        windows = windows[np.argsort(seen.recordings[windows], kind="stable")]
        subjects.append(SubjectWindows(found[windows], seen.recordings[windows]))
    return subjects


def _refuse(expected: str, got: str) -> MonitoringError:
    return MonitoringError(
        where="reference",
        expected=expected,
        got=got,
        remedy="Train on more subjects, or set monitoring.enabled = false.",
    )
