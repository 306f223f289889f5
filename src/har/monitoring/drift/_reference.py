"""What a model version's training subjects look like, and how much subjects differ: what days are compared with."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from har.errors import MonitoringError
from har.files import write_atomically
from har.monitoring.drift._bins import ACTIVITY
from har.monitoring.drift._calibration import UNCOUNTED, Level
from har.monitoring.drift._json import Array, to_json
from har.monitoring.drift.scores import alarming
from har.monitoring.profiles import CONFIDENCE, Bins

FORMAT = 4
"""4: levels against a subject's own history. 3, without them, and 2, with one level, that of `distance`, are still
read: days are then compared with others only."""


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
        own: per score against a subject's own history, how far its days lie from it, per feature; empty in references
            of older releases, and where the subjects' recordings do not show it.
    """

    features: tuple[str, ...]
    activities: tuple[str, ...]
    edges: Array
    median: Array
    deviation: Array
    spread: Array
    strata: tuple[Stratum, ...]
    own: dict[str, Level] = field(default_factory=dict)

    @functools.cached_property
    def bins(self) -> Bins:
        """In which the features of days are counted."""
        return Bins(self.features, self.edges[:-1])

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
        """Read what `to_json` wrote, in this format or one of the two before.

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
    elif number not in (3, FORMAT):
        raise ValueError(f"format {number!r}")
    return values
