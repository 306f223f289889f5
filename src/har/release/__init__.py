"""Releases of a model version into the online service, step by step: who meets it, and what is judged.

Knows neither the proxy nor the containers: `Serving` is what it needs of them.
"""

from har.release._judge import judge, quality
from har.release._limits import hard_limits
from har.release._measured import Measured
from har.release._paired import Paired
from har.release._reading import PairedReader
from har.release._serving import Counts, Role, Served, Serving
from har.release._spans import Spans
from har.release._split import BUCKETS, bucket, buckets, is_served_by_canary
from har.release._tally import Answers, Tally
from har.release._values import Check, Limits, Outcome, Side, StepEvidence, Verdict

__all__ = [
    "BUCKETS",
    "Answers",
    "Check",
    "Counts",
    "Limits",
    "Measured",
    "Outcome",
    "Paired",
    "PairedReader",
    "Role",
    "Served",
    "Serving",
    "Side",
    "Spans",
    "StepEvidence",
    "Tally",
    "Verdict",
    "bucket",
    "buckets",
    "hard_limits",
    "is_served_by_canary",
    "judge",
    "quality",
]
