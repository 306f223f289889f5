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

__all__ = [
    "Action",
    "DayReport",
    "Decision",
    "Distribution",
    "FeatureScore",
    "Performance",
    "QualityAlarm",
    "SliceScore",
]
