"""What a model version's training subjects look like, and how much subjects differ: what days are compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.errors import MonitoringError
from har.files import write_atomically
from har.monitoring.drift._calibration import Level, activity_codes, calibrate
from har.monitoring.drift._scores import ACTIVITY, codes, edges, family, shares
from har.monitoring.profiles._profile import CONFIDENCE

FORMAT = 2
_FEWEST = 2
_STRATUM = 3
"""A placement with fewer subjects than this has no stratum of its own."""


@dataclass(frozen=True)
class Stratum:
    """A distribution that the model was trained on: one regime, of all placements together or of one.

    Attributes:
        regime: 0 is the original distribution; each retraining after drift adds one.
        placement: "" for all together.
        shares: mean over its subjects of the shares per bin, float64 (Q, B).
        level: how far subjects lie apart.
    """

    regime: int
    placement: str
    shares: NDArray[np.float64]
    level: Level


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference of one model version.

    Quantities are the features, then `confidence`, then `activity=NAME` for each activity.

    Attributes:
        features: names of the profiled features, in the model's order.
        activities: those that the model can answer.
        edges: where features and confidence are cut, float64 (F + 1, B - 1).
        median: of features and confidence, (F + 1,).
        deviation: standard deviation of them, (F + 1,).
        spread: interquartile range of them, (F + 1,).
        strata: by regime, the one of all placements first.
    """

    features: tuple[str, ...]
    activities: tuple[str, ...]
    edges: NDArray[np.float64]
    median: NDArray[np.float64]
    deviation: NDArray[np.float64]
    spread: NDArray[np.float64]
    strata: tuple[Stratum, ...]

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of all that is compared, Q."""
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
        values = {"format": FORMAT, **asdict(self)}
        return json.dumps(_plain(values), allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> Reference:
        """Read what `to_json` wrote.

        Raises:
            MonitoringError: it did not write this.
        """
        try:
            values = json.loads(text)
            if values.pop("format") != FORMAT:
                raise ValueError("another format")
            strata = tuple(_stratum(row) for row in values.pop("strata"))
            arrays = {name: np.array(values[name], np.float64) for name in ("edges", "median", "deviation", "spread")}
            made = cls(tuple(values["features"]), tuple(values["activities"]), **arrays, strata=strata)
            if not strata or any(one.shares.shape[0] != len(made.quantities) for one in strata):
                raise ValueError("shares that do not fit the quantities")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MonitoringError(
                where=where,
                expected="a reference as this version writes it",
                got=f"{type(error).__name__}: {error}",
                remedy="Train the model again, and promote it: har train.",
            ) from error
        return made

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_atomically(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Reference:
        """Read what `write` wrote.

        Raises:
            MonitoringError: the file is missing, or holds something else.
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


def make_reference(
    features: NDArray[np.float32],
    names: Sequence[str],
    *,
    subjects: NDArray[np.str_],
    recordings: NDArray[np.integer],
    regimes: NDArray[np.integer],
    confidence: NDArray[np.floating],
    activities: NDArray[np.str_],
    placements: NDArray[np.str_] | None = None,
    classes: Sequence[str] | None = None,
    seed: int = 0,
) -> Reference:
    """Make a model's reference from the windows it was trained on.

    Args:
        features: float32 (N, F), the profiled features.
        names: F names.
        subjects: str (N,).
        recordings: int (N,), which recording (or gap-free piece of one) a window is from; in order of time within it.
        regimes: int (N,), which distribution a window is from; 0 is the original one.
        confidence: float (N,), the model's, 0 … 1.
        activities: str (N,), what the model answers.
        placements: str (N,), where the sensor was worn, "" where unknown; days from one placement are then compared
            with this placement. None: unknown.
        classes: all that the model can answer; None: those in `activities`.
        seed: of the imitated days.

    Raises:
        MonitoringError: arrays that do not fit, values that are not finite, or fewer than two subjects.
    """
    windows = len(features)
    per_window = {"subjects": subjects, "recordings": recordings, "regimes": regimes, "confidence": confidence}
    per_window |= {"activities": activities} | ({} if placements is None else {"placements": placements})
    astray = [f"{name} {np.shape(values)}" for name, values in per_window.items() if np.shape(values) != (windows,)]
    if features.shape != (windows, len(names)) or astray:
        raise _refuse(
            f"features ({windows}, {len(names)}) and one value per window of each other array",
            ", ".join([f"features {features.shape}", *astray]),
        )
    values = np.column_stack([features, confidence]).astype(np.float64)
    if not np.isfinite(values).all():
        raise _refuse("finite features", f"{int((~np.isfinite(values)).any(1).sum())} windows with others")
    known = tuple(classes) if classes is not None else tuple(sorted(set(activities.tolist())))
    cuts = edges(values)
    found = np.concatenate([codes(values, cuts), activity_codes(activities, known)], axis=1)
    worn = np.full(windows, "") if placements is None else placements
    families = [family(name) for name in (*names, CONFIDENCE, *(f"{ACTIVITY}{name}" for name in known))]
    random = np.random.default_rng(seed)
    strata: list[Stratum] = []
    for regime in np.unique(regimes).tolist():
        inside = regimes == regime
        places = sorted(set(worn[inside].tolist()) - {""})
        for placement in ["", *(places if len(set(worn[inside].tolist())) > 1 else ())]:
            rows = np.flatnonzero(inside & ((worn == placement) if placement else True))
            made = _calibrated(found, families, subjects, recordings, rows, regime, placement, random, strata)
            if made is not None:
                strata.append(made)
    quartiles = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    return Reference(
        features=tuple(names),
        activities=known,
        edges=cuts,
        median=quartiles[1],
        deviation=values.std(0),
        spread=quartiles[2] - quartiles[0],
        strata=tuple(strata),
    )


def _calibrated(
    found: NDArray[np.uint8],
    families: Sequence[str],
    subjects: NDArray[np.str_],
    recordings: NDArray[np.integer],
    rows: NDArray[np.int64],
    regime: int,
    placement: str,
    random: np.random.Generator,
    before: Sequence[Stratum],
) -> Stratum | None:
    """A stratum of these rows; None for a placement that too few subjects share."""
    own = [rows[subjects[rows] == subject] for subject in np.unique(subjects[rows])]
    # A recording's windows side by side, in their order.
    own = [one[np.argsort(recordings[one], kind="stable")] for one in own]
    if placement and len(own) < _STRATUM:
        return None
    mean = np.stack([shares(found[one]) for one in own]).mean(0)
    if len(own) < _FEWEST:
        if not before:
            raise _refuse("two subjects at least: how much subjects differ is what days are judged by", str(len(own)))
        # One subject cannot say how much subjects differ; those of the first regime can.
        return Stratum(regime, placement, mean, before[0].level)
    level = calibrate([found[one] for one in own], [recordings[one] for one in own], families, random=random)
    return Stratum(regime, placement, mean, level)


def _refuse(expected: str, got: str) -> MonitoringError:
    return MonitoringError(
        where="reference",
        expected=expected,
        got=got,
        remedy="Train on more subjects, or set monitoring.enabled = false.",
    )


def _stratum(row: Mapping[str, Any]) -> Stratum:
    level = dict(row["level"])
    level |= {name: np.array(level[name], np.float64) for name in ("mean", "deviation")}
    level |= {name: tuple(level[name]) for name in ("windows", "families")}
    return Stratum(int(row["regime"]), row["placement"], np.array(row["shares"], np.float64), Level(**level))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
