"""What a model answered about labelled windows: the raw material of every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from har.errors import EvaluationError


@dataclass(frozen=True, eq=False)
class Outcome:
    """Labelled windows with the probabilities that a model gave them.

    Attributes:
        labels: int (N,), index of each window's true activity, 0 … K - 1.
        probabilities: float32 (N, K), one row per window.
        subjects: str (N,), who wore the sensor.
        activities: K names, in the order of the probabilities.

    Raises:
        EvaluationError: arrays that do not fit together, an unlabelled window, a probability that is not finite.
    """

    labels: NDArray[np.integer]
    probabilities: NDArray[np.float32]
    subjects: NDArray[np.str_]
    activities: tuple[str, ...]

    def __post_init__(self) -> None:
        count, classes = len(self.labels), len(self.activities)
        if self.probabilities.shape != (count, classes) or self.subjects.shape != (count,):
            raise EvaluationError(
                where="outcome",
                expected=f"probabilities ({count}, {classes}) and subjects ({count},) for {count} labels and "
                f"{classes} activities",
                got=f"{self.probabilities.shape} and {self.subjects.shape}",
                remedy="Take all of them from the same windows and the same model.",
            )
        foreign = (self.labels < 0) | (self.labels >= classes)
        if foreign.any():
            raise EvaluationError(
                where="outcome",
                expected=f"labels from 0 to {classes - 1}",
                got=str(self.labels[foreign][0]),
                remedy="Leave unlabelled windows out: windows.select(windows.labels >= 0).",
            )
        if not np.isfinite(self.probabilities).all():
            row = int(np.flatnonzero(~np.isfinite(self.probabilities).all(axis=1))[0])
            raise EvaluationError(
                where=f"outcome, window {row} of subject {self.subjects[row]}",
                expected="finite probabilities",
                got=str(self.probabilities[row].tolist()),
                remedy="Check the model file and the window's samples.",
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def answers(self) -> NDArray[np.int64]:
        """The most probable activity of each window, (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of that answer, (N,)."""
        return np.asarray(self.probabilities.max(axis=1, initial=0.0), np.float32)

    def select(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Outcome:
        """The chosen windows."""
        return replace(
            self,
            labels=self.labels[index],
            probabilities=self.probabilities[index],
            subjects=self.subjects[index],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Outcome]) -> Outcome:
        """Several outcomes, such as the folds of a cross-validation, as one.

        Raises:
            EvaluationError: no part, or parts with other activities.
        """
        if not parts:
            raise EvaluationError(
                where="Outcome.concatenate", expected="one outcome at least", got="none", remedy="Run one fold or more."
            )
        for part in parts[1:]:
            _require_same_activities(parts[0], part)
        return cls(
            labels=np.concatenate([part.labels for part in parts]),
            probabilities=np.concatenate([part.probabilities for part in parts]),
            subjects=np.concatenate([part.subjects for part in parts]),
            activities=parts[0].activities,
        )


def require_same_windows(first: Outcome, second: Outcome, *, where: str) -> None:
    """Refuse to set figures of different windows against each other.

    Raises:
        EvaluationError: names the first thing that differs.
    """
    _require_same_activities(first, second)
    if len(first) != len(second):
        raise EvaluationError(
            where=where,
            expected=f"the same windows in both outcomes ({len(first)})",
            got=f"{len(second)} in the other",
            remedy="Predict both on the same held-out subjects and the same data version.",
        )
    for name in ("labels", "subjects"):
        one, other = getattr(first, name), getattr(second, name)
        if not np.array_equal(one, other):
            row = int(np.flatnonzero(one != other)[0])
            raise EvaluationError(
                where=f"{where}, window {row}",
                expected=f"equal {name} in both outcomes",
                got=f"{one[row]} and {other[row]}",
                remedy="Predict both on the same windows, in the same order.",
            )


def _require_same_activities(first: Outcome, second: Outcome) -> None:
    if first.activities != second.activities:
        raise EvaluationError(
            where="outcomes",
            expected=f"the same activities ({', '.join(first.activities)})",
            got=", ".join(second.activities),
            remedy="Compare models of the same har.toml; after a change of activities, train a first champion anew.",
        )
