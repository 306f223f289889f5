"""Releases of a model version into the online service, step by step: who meets it, and what is judged.

Knows neither the proxy nor the containers: `Serving` is what it needs of them.
"""

from har.release._controller import THE_JUDGE, Controller, Watch, recorded
from har.release._files import Command, Order, Record, Releases
from har.release._plan import SHADOW, Plan, Step
from har.release._serving import Counts, Role, Served, Serving
from har.release._split import BUCKETS, bucket, buckets, is_served_by_canary
from har.release._states import Ending, Judged, Measure, Move, State, next_move

__all__ = [
    "BUCKETS",
    "SHADOW",
    "THE_JUDGE",
    "Command",
    "Controller",
    "Counts",
    "Ending",
    "Judged",
    "Measure",
    "Move",
    "Order",
    "Plan",
    "Record",
    "Releases",
    "Role",
    "Served",
    "Serving",
    "State",
    "Step",
    "Watch",
    "bucket",
    "buckets",
    "is_served_by_canary",
    "next_move",
    "recorded",
]
