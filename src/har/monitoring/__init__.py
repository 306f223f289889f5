"""What the model sees in service: profiles, drift, data quality and performance, and what is to be done about it."""

from har.monitoring._day import (
    Action,
    DayReport,
    Decision,
    Distribution,
    FeatureScore,
    Performance,
    QualityAlarm,
    SliceScore,
)
from har.monitoring._profile import CONFIDENCE, QUALITY, Profile, chosen_features

__all__ = [
    "CONFIDENCE",
    "QUALITY",
    "Action",
    "DayReport",
    "Decision",
    "Distribution",
    "FeatureScore",
    "Performance",
    "Profile",
    "QualityAlarm",
    "SliceScore",
    "chosen_features",
]
