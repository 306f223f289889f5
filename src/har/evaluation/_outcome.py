"""What a model answered for labelled windows; every figure is computed from it."""

from __future__ import annotations

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
        recordings: str (N,), the recording that each window was cut from; None: unknown.

    Raises:
        EvaluationError: arrays of different lengths, an unlabelled window, or a probability that is not finite.
    """

    labels: NDArray[np.integer]
    probabilities: NDArray[np.float32]
    subjects: NDArray[np.str_]
    activities: tuple[str, ...]
    recordings: NDArray[np.str_] | None = None

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
        if self.recordings is not None and self.recordings.shape != (count,):
            raise EvaluationError(
                where="outcome",
                expected=f"a recording for each of {count} windows",
                got=str(self.recordings.shape),
                remedy="Take both from the same windows.",
            )
        unknown = (self.labels < 0) | (self.labels >= classes)
        if unknown.any():
            raise EvaluationError(
                where="outcome",
                expected=f"labels from 0 to {classes - 1}",
                got=str(self.labels[unknown][0]),
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

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each answer is the true activity, (N,)."""
        return np.asarray(self.answers == self.labels, np.bool_)

    @property
    def accuracy(self) -> float:
        """Share of correct answers, 0 … 1."""
        return float(self.correct.mean())

    def select(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Outcome:
        """The chosen windows."""
        return replace(
            self,
            labels=self.labels[index],
            probabilities=self.probabilities[index],
            subjects=self.subjects[index],
            recordings=None if self.recordings is None else self.recordings[index],
        )


def require_same_windows(first: Outcome, second: Outcome, *, where: str) -> None:
    """Refuse to compare figures of different windows.

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
            remedy="Compare models of the same har.toml; after a change of activities, promote a new champion by hand: "
            "har promote VERSION --reason WHY.",
        )
