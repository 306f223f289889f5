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
from har.monitoring._facts import gather_facts
from har.monitoring._labels import ask
from har.monitoring._performance import measure
from har.monitoring._policy import STARTS_TRAINING, Facts, decide
from har.monitoring._probation import ProbationVerdict
from har.monitoring._profile import CONFIDENCE, QUALITY, Profile, chosen_features, require_whylogs

__all__ = [
    "CONFIDENCE",
    "QUALITY",
    "STARTS_TRAINING",
    "Action",
    "DayReport",
    "Decision",
    "Distribution",
    "Facts",
    "FeatureScore",
    "Performance",
    "ProbationVerdict",
    "Profile",
    "QualityAlarm",
    "SliceScore",
    "ask",
    "chosen_features",
    "decide",
    "gather_facts",
    "measure",
    "require_whylogs",
]
