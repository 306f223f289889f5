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
from har.monitoring._log import (
    DecisionRow,
    decisions,
    find_decision,
    mark,
    note_decision,
    reports,
    store_report,
    unheard,
)
from har.monitoring._performance import measure
from har.monitoring._policy import STARTS_TRAINING, Facts, decide
from har.monitoring._probation import LAKE_TO, ProbationVerdict, watch_probation
from har.monitoring._profile import CONFIDENCE, QUALITY, Profile, chosen_features, require_whylogs
from har.monitoring._quality import Limits, quality_alarms
from har.monitoring._reference import Reference, make_reference
from har.monitoring._store import Profiler, merge_old, profile_of, profile_online, profiled_by, subject_days
from har.monitoring._training import REFERENCE, REFERENCE_PROFILE, reference_of
from har.monitoring._watch import SubjectDay, watch_day

__all__ = [
    "CONFIDENCE",
    "LAKE_TO",
    "QUALITY",
    "REFERENCE",
    "REFERENCE_PROFILE",
    "STARTS_TRAINING",
    "Action",
    "DayReport",
    "Decision",
    "DecisionRow",
    "Distribution",
    "Facts",
    "FeatureScore",
    "Limits",
    "Performance",
    "ProbationVerdict",
    "Profile",
    "Profiler",
    "QualityAlarm",
    "Reference",
    "SliceScore",
    "SubjectDay",
    "ask",
    "chosen_features",
    "decide",
    "decisions",
    "find_decision",
    "gather_facts",
    "make_reference",
    "mark",
    "measure",
    "merge_old",
    "note_decision",
    "profile_of",
    "profile_online",
    "profiled_by",
    "quality_alarms",
    "reference_of",
    "reports",
    "require_whylogs",
    "store_report",
    "subject_days",
    "unheard",
    "watch_day",
    "watch_probation",
]
