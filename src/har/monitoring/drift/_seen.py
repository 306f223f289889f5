"""What a model saw of its training subjects: what its reference is made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.errors import MonitoringError


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
        dates: datetime64[D] (N,), on which day; None: unknown. They show how much a subject's days differ.

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
    dates: NDArray[np.datetime64] | None = None

    def __post_init__(self) -> None:
        shapes = {name: np.shape(values) for name, values in vars(self).items() if values is not None}
        windows = len(self.features)
        wrong = [f"{name} {shape}" for name, shape in shapes.items() if shape != (windows,) and name != "features"]
        if wrong or self.features.ndim != 2:
            raise refuse(
                f"features ({windows}, F) and one value per window of each other array",
                ", ".join([f"features {self.features.shape}", *wrong]),
            )
        unfit = ~np.isfinite(self.values).all(1)
        if unfit.any():
            raise refuse("finite features", f"{int(unfit.sum())} windows with others")

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


def refuse(expected: str, got: str) -> MonitoringError:
    """The error about windows that make no reference."""
    return MonitoringError(
        where="reference",
        expected=expected,
        got=got,
        remedy="Train on more subjects, or set monitoring.enabled = false.",
    )
