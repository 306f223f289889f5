"""Drift: a model's reference, the alarm levels learned from it, and each day compared with it."""

from har.monitoring.drift._making import make_reference
from har.monitoring.drift._own import OwnDay
from har.monitoring.drift._own_history import OwnHistory
from har.monitoring.drift._reference import Reference
from har.monitoring.drift._report import (
    DayReport,
    Distribution,
    FeatureScore,
    Performance,
    ScoreColumn,
    SliceScore,
)
from har.monitoring.drift._reports import DriftReports
from har.monitoring.drift._seen import Seen
from har.monitoring.drift._training_reference import REFERENCE, REFERENCE_PROFILE, reference_of
from har.monitoring.drift._watch import watch_day

__all__ = [
    "REFERENCE",
    "REFERENCE_PROFILE",
    "DayReport",
    "Distribution",
    "DriftReports",
    "FeatureScore",
    "OwnDay",
    "OwnHistory",
    "Performance",
    "Reference",
    "ScoreColumn",
    "Seen",
    "SliceScore",
    "make_reference",
    "reference_of",
    "watch_day",
]
