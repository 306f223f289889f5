"""What the model sees in service: profiles, drift, data quality and performance, and what is to be done about it."""

from har.monitoring._index import render_index
from har.monitoring._loop import LoopDay, loop_table, render_loop
from har.monitoring._pages import write_pages
from har.monitoring._report import render_day
from har.monitoring.decisions._facts import gather_facts
from har.monitoring.decisions._labels import ask
from har.monitoring.decisions._log import (
    DecisionRow,
    decisions,
    find_decision,
    mark,
    note_decision,
    reports,
    store_report,
    unheard,
)
from har.monitoring.decisions._performance import measure
from har.monitoring.decisions._policy import STARTS_TRAINING, Facts, decide
from har.monitoring.decisions._probation import LAKE_TO, ProbationVerdict, watch_probation
from har.monitoring.drift._day import (
    Action,
    DayReport,
    Decision,
    Distribution,
    FeatureScore,
    Performance,
    QualityAlarm,
    SliceScore,
)
from har.monitoring.drift._reference import Reference, make_reference
from har.monitoring.drift._training import REFERENCE, REFERENCE_PROFILE, reference_of
from har.monitoring.drift._watch import SubjectDay, watch_day
from har.monitoring.profiles._profile import CONFIDENCE, QUALITY, Profile, chosen_features, require_whylogs
from har.monitoring.profiles._quality import Limits, quality_alarms
from har.monitoring.profiles._store import Profiler, merge_old, profile_of, profile_online, profiled_by, subject_days

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
    "LoopDay",
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
    "loop_table",
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
    "render_day",
    "render_index",
    "render_loop",
    "reports",
    "require_whylogs",
    "store_report",
    "subject_days",
    "unheard",
    "watch_day",
    "watch_probation",
    "write_pages",
]
