"""Releases of a model version into the online service, step by step: who meets it, and what is judged.

Knows neither the proxy nor the containers: `Serving` is what it needs of them.
"""

from har.release._judge import judge, quality
from har.release._limits import hard_limits
from har.release._measured import Measured
from har.release._paired import Paired
from har.release._serving import Counts, Role, Served, Serving
from har.release._split import BUCKETS, bucket, buckets, is_served_by_canary
from har.release._values import Check, Limits, Outcome, Side, StepEvidence, Verdict

__all__ = [
    "BUCKETS",
    "Check",
    "Counts",
    "Limits",
    "Measured",
    "Outcome",
    "Paired",
    "Role",
    "Served",
    "Serving",
    "Side",
    "StepEvidence",
    "Verdict",
    "bucket",
    "buckets",
    "hard_limits",
    "is_served_by_canary",
    "judge",
    "quality",
]
