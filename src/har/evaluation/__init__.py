"""A model's answers for labelled windows in; figures and the gate's verdict out."""

from har.evaluation._bootstrap import RESAMPLES, bootstrap_mean
from har.evaluation._doubts import LabelEvidence, LabelLimits, doubts, is_left_to_a_person, leave_to_a_person
from har.evaluation._evaluation import (
    AbstentionPoint,
    ClassFigures,
    Evaluation,
    RecordingFigures,
    ReliabilityBin,
    SubjectFigures,
    evaluate,
)
from har.evaluation._format import percent, points
from har.evaluation._gate import OwnLimits, Verdict, compare, compare_after_drift, refuse_to_compare
from har.evaluation._latency import Latency, LatencyRatio, latency, latency_ratio
from har.evaluation._outcome import Outcome
from har.evaluation._reference import reference_classifier

__all__ = [
    "RESAMPLES",
    "AbstentionPoint",
    "ClassFigures",
    "Evaluation",
    "LabelEvidence",
    "LabelLimits",
    "Latency",
    "LatencyRatio",
    "Outcome",
    "OwnLimits",
    "RecordingFigures",
    "ReliabilityBin",
    "SubjectFigures",
    "Verdict",
    "bootstrap_mean",
    "compare",
    "compare_after_drift",
    "doubts",
    "evaluate",
    "is_left_to_a_person",
    "latency",
    "latency_ratio",
    "leave_to_a_person",
    "percent",
    "points",
    "reference_classifier",
    "refuse_to_compare",
]
