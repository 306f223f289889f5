"""A model's answers about labelled windows in; figures and the gate's verdict out."""

from har.evaluation._cross_validation import CrossValidation, Progress, cross_validate
from har.evaluation._evaluation import (
    AbstentionPoint,
    ClassFigures,
    Evaluation,
    ReliabilityBin,
    SubjectFigures,
    evaluate,
)
from har.evaluation._gate import OwnLimits, Verdict, compare, compare_after_drift, refuse_to_compare
from har.evaluation._latency import Latency, latency
from har.evaluation._outcome import Outcome

__all__ = [
    "AbstentionPoint",
    "ClassFigures",
    "CrossValidation",
    "Evaluation",
    "Latency",
    "Outcome",
    "OwnLimits",
    "Progress",
    "ReliabilityBin",
    "SubjectFigures",
    "Verdict",
    "compare",
    "compare_after_drift",
    "cross_validate",
    "evaluate",
    "latency",
    "refuse_to_compare",
]
