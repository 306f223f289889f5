"""Outcomes in, every figure about them out, as values that JSON can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from har.engine import Each, in_turn
from har.errors import NotEnoughDataError
from har.evaluation import _metrics as metrics
from har.evaluation._bootstrap import RESAMPLES, bootstrap_figures
from har.evaluation._outcome import Outcome, require_same_windows

INTERVAL = (2.5, 97.5)
"""Percentiles that bound the 95 % interval."""
WEAKEST = 10
"""Number of recordings to name."""
THRESHOLDS = np.arange(100) / 100
"""Confidence thresholds of the abstention curve."""


@dataclass(frozen=True)
class ClassFigures:
    """One activity: shares from 0 to 1; None where there is nothing to divide by."""

    activity: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class SubjectFigures:
    """One subject; macro-F1 over the activities that this subject performed."""

    subject: str
    windows: int
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class RecordingFigures:
    """One recording, and the wrong answer that was given most often: activity, answer, share of the windows.

    `activity`, `answer` and `share` are None where every window was named right.
    """

    recording: str
    windows: int
    accuracy: float
    activity: str | None
    answer: str | None
    share: float | None


@dataclass(frozen=True)
class ReliabilityBin:
    """Windows with a confidence in (low, high]; their mean confidence and accuracy, None where there are none."""

    low: float
    high: float
    windows: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class AbstentionPoint:
    """Share of windows with at least this confidence, and the accuracy among them (None where there are none)."""

    threshold: float
    coverage: float
    accuracy: float | None


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model on labelled windows, or of several runs (seeds) on the same windows.

    Attributes:
        activities: K names.
        windows: number of windows, N.
        runs: how often every window was answered; counts in `confusion` and `reliability` are over all runs.
        accuracy: share of correct answers; the mean over runs.
        accuracy_low, accuracy_high: 95 % percentile bootstrap over subjects. With one subject there is nothing to
            resample, and both equal the figure itself.
        macro_f1: mean F1 over the activities present in the labels; the mean over runs.
        macro_f1_low, macro_f1_high: the same interval; each resample counts the activities present in it.
        calibration_error: expected calibration error over 15 equal-width bins (Guo et al. 2017).
        confusion: K rows of K counts, truth in rows.
        classes: per activity, over all runs; support counts every window once.
        subjects: per subject, over all runs, sorted by name.
        weakest: the recordings with the lowest accuracy, over all runs, the lowest first; at most `WEAKEST`. Empty
            where the outcome does not name recordings.
        reliability: the bins behind `calibration_error`.
        abstention: what is answered, and how well, at each threshold.
        resamples: of the bootstrap.
    """

    activities: tuple[str, ...]
    windows: int
    runs: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    calibration_error: float
    confusion: tuple[tuple[int, ...], ...]
    classes: tuple[ClassFigures, ...]
    subjects: tuple[SubjectFigures, ...]
    weakest: tuple[RecordingFigures, ...]
    reliability: tuple[ReliabilityBin, ...]
    abstention: tuple[AbstentionPoint, ...]
    resamples: int

    def flat(self) -> dict[str, float | int]:
        """The headline figures, one level deep."""
        return {
            "accuracy": self.accuracy,
            "accuracy_low": self.accuracy_low,
            "accuracy_high": self.accuracy_high,
            "macro_f1": self.macro_f1,
            "macro_f1_low": self.macro_f1_low,
            "macro_f1_high": self.macro_f1_high,
            "calibration_error": self.calibration_error,
            "least_recall": min(row.recall for row in self.classes if row.recall is not None),
            "least_subject_accuracy": min(row.accuracy for row in self.subjects),
            "subjects": len(self.subjects),
            "windows": self.windows,
        }

    def to_json(self) -> dict[str, Any]:
        """Everything as dicts, lists, strings and finite numbers."""
        values: dict[str, Any] = _JSON.dump_python(self, mode="json")
        return values


_JSON = TypeAdapter(Evaluation)


def evaluate(
    outcome: Outcome | Sequence[Outcome], *, resamples: int = RESAMPLES, seed: int = 0, each: Each = in_turn
) -> Evaluation:
    """Compute every figure of a model from its outcome.

    Args:
        outcome: of one model; or of several runs on the same windows, whose figures are averaged.
        resamples: of the bootstrap over subjects.
        seed: of the bootstrap.
        each: how to draw very many resamples (tens of millions of draws of a subject); fewer are drawn here.

    Raises:
        NotEnoughDataError: no windows.
        EvaluationError: runs on different windows.
    """
    runs = [outcome] if isinstance(outcome, Outcome) else list(outcome)
    if not runs or not len(runs[0]):
        raise NotEnoughDataError(
            where="evaluation",
            expected="at least one labelled window",
            got="none",
            remedy="Ingest labelled recordings of the held-out subjects (split.held_out in har.toml).",
        )
    for run in runs[1:]:
        require_same_windows(runs[0], run, where="runs of one evaluation")
    names, subject = np.unique(runs[0].subjects, return_inverse=True)
    classes = len(runs[0].activities)
    confusions = np.stack([metrics.confusion_by_subject(run.labels, run.answers, subject, classes) for run in runs])
    by_subject = confusions.sum(axis=0)
    tallies = [metrics.tally(confusion) for confusion in confusions]
    accuracies, macro_f1s = bootstrap_figures(tallies, resamples=resamples, seed=seed, each=each)
    accuracy_low, accuracy_high = _interval(accuracies)
    macro_f1_low, macro_f1_high = _interval(macro_f1s)
    of_runs = metrics.tally(confusions.sum(axis=1))
    confidence = np.concatenate([run.confidence for run in runs])
    correct = np.concatenate([run.correct for run in runs])
    calibration_error, reliability = metrics.calibration(confidence, correct)
    return Evaluation(
        activities=runs[0].activities,
        windows=len(runs[0]),
        runs=len(runs),
        accuracy=float(metrics.accuracy(of_runs).mean()),
        accuracy_low=accuracy_low,
        accuracy_high=accuracy_high,
        macro_f1=float(metrics.macro_f1(of_runs).mean()),
        macro_f1_low=macro_f1_low,
        macro_f1_high=macro_f1_high,
        calibration_error=calibration_error,
        confusion=tuple(tuple(int(count) for count in row) for row in by_subject.sum(axis=0)),
        classes=_classes(runs[0].activities, metrics.tally(by_subject.sum(axis=0)), len(runs)),
        subjects=_subjects(names.tolist(), metrics.tally(by_subject), len(runs)),
        weakest=_weakest(runs),
        reliability=_reliability(reliability),
        abstention=_abstention(metrics.abstention(confidence, correct, THRESHOLDS), len(confidence)),
        resamples=resamples,
    )


def _interval(draws: metrics.Floats) -> tuple[float, float]:
    low, high = np.percentile(draws, INTERVAL)
    return float(low), float(high)


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _classes(activities: tuple[str, ...], counts: metrics.Tally, runs: int) -> tuple[ClassFigures, ...]:
    f1 = metrics.f1(counts)
    return tuple(
        ClassFigures(
            activity=activity,
            precision=_share(hits, predicted),
            recall=_share(hits, actual),
            f1=float(f1[index]) if actual else None,
            support=int(actual) // runs,
        )
        for index, (activity, hits, actual, predicted) in enumerate(zip(activities, *counts, strict=True))
    )


def _subjects(names: list[str], counts: metrics.Tally, runs: int) -> tuple[SubjectFigures, ...]:
    accuracy, macro_f1, windows = metrics.accuracy(counts), metrics.macro_f1(counts), counts.actual.sum(axis=-1)
    return tuple(
        SubjectFigures(name, int(windows[row]) // runs, float(accuracy[row]), float(macro_f1[row]))
        for row, name in enumerate(names)
    )


def _weakest(runs: Sequence[Outcome]) -> tuple[RecordingFigures, ...]:
    if runs[0].recordings is None:
        return ()
    names, recording = np.unique(runs[0].recordings, return_inverse=True)
    activities = runs[0].activities
    each = [metrics.confusion_by_subject(run.labels, run.answers, recording, len(activities)) for run in runs]
    counts = np.sum(each, axis=0)
    windows = counts.sum(axis=(1, 2))
    accuracy = np.trace(counts, axis1=1, axis2=2) / windows
    found = []
    for row in np.lexsort((names, -windows, accuracy))[:WEAKEST]:
        wrong = counts[row] * (1 - np.eye(len(activities), dtype=counts.dtype))
        label, answer = np.unravel_index(int(wrong.argmax()), wrong.shape)
        most = float(wrong[label, answer])
        found.append(
            RecordingFigures(
                recording=str(names[row]),
                windows=int(windows[row]) // len(runs),
                accuracy=float(accuracy[row]),
                activity=activities[label] if most else None,
                answer=activities[answer] if most else None,
                share=most / float(windows[row]) if most else None,
            )
        )
    return tuple(found)


def _reliability(table: metrics.Reliability) -> tuple[ReliabilityBin, ...]:
    return tuple(
        ReliabilityBin(
            low=index / metrics.BINS,
            high=(index + 1) / metrics.BINS,
            windows=int(windows),
            confidence=float(confidence) if windows else None,
            accuracy=float(accuracy) if windows else None,
        )
        for index, (windows, confidence, accuracy) in enumerate(zip(*table, strict=True))
    )


def _abstention(curve: metrics.Curve, windows: int) -> tuple[AbstentionPoint, ...]:
    return tuple(
        AbstentionPoint(float(threshold), float(answered / windows), _share(correct, answered))
        for threshold, answered, correct in zip(*curve, strict=True)
    )
