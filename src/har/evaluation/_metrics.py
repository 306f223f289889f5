"""Arrays of counts in, figures out; pure functions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

BINS = 15
"""Equal-width bins of confidence (Guo et al., On Calibration of Modern Neural Networks, 2017)."""


class Tally(NamedTuple):
    """What accuracy and F1 need of a confusion matrix, over any leading axes: three arrays (…, K)."""

    hits: Counts
    actual: Counts
    predicted: Counts


class Reliability(NamedTuple):
    """Per bin of confidence, (BINS,): windows, their mean confidence and their accuracy (0 in empty bins)."""

    windows: Counts
    confidence: Floats
    accuracy: Floats


class Curve(NamedTuple):
    """Per threshold, (P,): windows answered, and how many of these correctly."""

    threshold: Floats
    answered: Counts
    correct: Counts


def confusion_by_subject(labels: NDArray[np.integer], answers: Counts, subject: Counts, classes: int) -> Counts:
    """Confusion matrices (S, K, K), truth in rows, for subjects numbered 0 … S - 1."""
    subjects = int(subject.max()) + 1
    cell = (subject * classes + labels) * classes + answers
    return np.bincount(cell, minlength=subjects * classes * classes).reshape(subjects, classes, classes)


def tally(confusion: Counts) -> Tally:
    """Hits, row sums and column sums of confusion matrices (…, K, K)."""
    return Tally(
        hits=np.diagonal(confusion, axis1=-2, axis2=-1), actual=confusion.sum(axis=-1), predicted=confusion.sum(axis=-2)
    )


def accuracy(counts: Tally) -> Floats:
    """Share of correct answers, (…)."""
    return np.asarray(counts.hits.sum(axis=-1) / counts.actual.sum(axis=-1), np.float64)


def f1(counts: Tally) -> Floats:
    """F1 per class, (…, K): 2·hits / (actual + predicted), and 0 for a class that is in neither."""
    return np.asarray(2 * counts.hits / np.maximum(1, counts.actual + counts.predicted), np.float64)


def macro_f1(counts: Tally) -> Floats:
    """Mean F1 over the classes present in the labels, (…): a class that nobody performed is left out."""
    present = counts.actual > 0
    return np.asarray((f1(counts) * present).sum(axis=-1) / present.sum(axis=-1), np.float64)


def reweigh(counts: Tally, weights: Counts) -> Tally:
    """Per-subject tallies (S, K) under R resamples (R, S): tallies (R, K)."""
    return Tally(*(weights @ part for part in counts))


def calibration(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> tuple[float, Reliability]:
    """Expected calibration error and its reliability table.

    ECE = Σ n_b / N · |accuracy_b - confidence_b| over equal-width bins ((b - 1)/B, b/B] (Guo et al. 2017, eq. 3).
    """
    edges = np.linspace(0, 1, BINS + 1)
    index = np.clip(np.digitize(confidence, edges[1:-1], right=True), 0, BINS - 1)
    windows = np.bincount(index, minlength=BINS)
    filled = np.maximum(1, windows)
    mean_confidence = np.bincount(index, confidence.astype(np.float64), BINS) / filled
    bin_accuracy = np.bincount(index, correct.astype(np.float64), BINS) / filled
    error = float((windows * np.abs(bin_accuracy - mean_confidence)).sum() / windows.sum())
    return error, Reliability(windows, mean_confidence, bin_accuracy)


def abstention(confidence: NDArray[np.float32], correct: NDArray[np.bool_], thresholds: Floats) -> Curve:
    """Coverage and correct answers when windows with less confidence than a threshold are not answered."""
    order = confidence.argsort()
    # In float32, as scoring compares: a confidence equal to the threshold counts as answered.
    first = np.searchsorted(confidence[order], thresholds.astype(np.float32), side="left")
    correct_from = np.append(np.cumsum(correct[order][::-1])[::-1], 0)
    return Curve(thresholds, len(confidence) - first, correct_from[first])
