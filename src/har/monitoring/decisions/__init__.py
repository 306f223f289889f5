"""Decisions: what is done about a day, the facts it rests on, and the log of what came of it."""

from har.monitoring.decisions._decision import Action, Decision
from har.monitoring.decisions._evidence import gather_evidence
from har.monitoring.decisions._facts import gather_facts, open_training
from har.monitoring.decisions._label_requests import most_helpful, request_labels
from har.monitoring.decisions._log import RELEASE, DecisionLog, DecisionRow
from har.monitoring.decisions._performance import measure_performance
from har.monitoring.decisions._policy import STARTS_TRAINING, Facts, OpenTraining, decide
from har.monitoring.decisions._probation import LAKE_TO, ProbationVerdict, watch_probation
from har.monitoring.decisions._truth import confident_answers

__all__ = [
    "LAKE_TO",
    "RELEASE",
    "STARTS_TRAINING",
    "Action",
    "Decision",
    "DecisionLog",
    "DecisionRow",
    "Facts",
    "OpenTraining",
    "ProbationVerdict",
    "confident_answers",
    "decide",
    "gather_evidence",
    "gather_facts",
    "measure_performance",
    "most_helpful",
    "open_training",
    "request_labels",
    "watch_probation",
]
