"""A linear discriminant on the profiled features: it stands for the model that answers the windows.

Like a model, it answers a faulty window wrongly, so that the comparison within the same mix of activities has no better
activities than in operation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RIDGE = 0.1


@dataclass(frozen=True, eq=False)
class Discriminant:
    """Answers windows with one of `classes`, sorted."""

    classes: tuple[str, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    @classmethod
    def fit(cls, features: NDArray[np.float32], labels: NDArray[np.str_]) -> Discriminant:
        """Learn from features (N, F) and labels (N,)."""
        values = features.astype(np.float64)
        mean, scale = values.mean(0), values.std(0) + 1e-9
        scaled = (values - mean) / scale
        classes, answers = np.unique(labels, return_inverse=True)
        centres = np.stack([scaled[answers == place].mean(0) for place in range(len(classes))])
        rest = scaled - centres[answers]
        weights = np.linalg.solve(rest.T @ rest / len(rest) + _RIDGE * np.eye(rest.shape[1]), centres.T)
        bias = np.log(np.bincount(answers) / len(answers)) - (centres.T * weights).sum(0) / 2
        return cls(tuple(map(str, classes)), mean, scale, weights, bias)

    def answers(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """Per window the place of its activity in `classes`."""
        found: NDArray[np.int64] = (((features - self.mean) / self.scale) @ self.weights + self.bias).argmax(1)
        return found
