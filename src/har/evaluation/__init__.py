"""A model's answers about labelled windows in; figures, a report and the gate's verdict out."""

from har.evaluation._evaluation import (
    AbstentionPoint,
    ClassFigures,
    Evaluation,
    ReliabilityBin,
    SubjectFigures,
    evaluate,
)
from har.evaluation._gate import Verdict, compare
from har.evaluation._latency import Latency, latency
from har.evaluation._outcome import Outcome

__all__ = [
    "AbstentionPoint",
    "ClassFigures",
    "Evaluation",
    "Latency",
    "Outcome",
    "ReliabilityBin",
    "SubjectFigures",
    "Verdict",
    "compare",
    "evaluate",
    "latency",
]
