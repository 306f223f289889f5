"""A model's answers about labelled windows in; figures, a report and the gate's verdict out."""

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
from har.evaluation._report import render_report, write_report

__all__ = [
    "AbstentionPoint",
    "ClassFigures",
    "Evaluation",
    "Latency",
    "Outcome",
    "OwnLimits",
    "ReliabilityBin",
    "SubjectFigures",
    "Verdict",
    "compare",
    "compare_after_drift",
    "evaluate",
    "latency",
    "refuse_to_compare",
    "render_report",
    "write_report",
]
