"""Profiles: what the model saw in some windows, small enough to store for every day, and the data faults they show."""

from har.monitoring.profiles._by_activity import Bins, ByActivity
from har.monitoring.profiles._profile import CONFIDENCE, QUALITY, Profile, chosen_features, require_whylogs
from har.monitoring.profiles._profiler import Profiler, profile_online
from har.monitoring.profiles._profiles import Profiles, SubjectDay
from har.monitoring.profiles._quality import Limits, QualityAlarm, quality_alarms

__all__ = [
    "CONFIDENCE",
    "QUALITY",
    "Bins",
    "ByActivity",
    "Limits",
    "Profile",
    "Profiler",
    "Profiles",
    "QualityAlarm",
    "SubjectDay",
    "chosen_features",
    "profile_online",
    "quality_alarms",
    "require_whylogs",
]
