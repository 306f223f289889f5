"""Releases of a model version into the online service, step by step: who meets it, and what is judged.

Knows neither the proxy nor the containers: `Serving` is what it needs of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from har.release._controller import THE_JUDGE, Controller, Watch, recorded
from har.release._files import Command, Order, Record, Releases
from har.release._plan import SHADOW, Plan, Step
from har.release._serving import Counts, Role, Served, Serving
from har.release._split import BUCKETS, bucket, buckets, is_served_by_canary
from har.release._states import Ending, Judged, Measure, Move, State, next_move

if TYPE_CHECKING:
    from har.release._evaluated import evaluated_disagreement
    from har.release._judge import judge, quality
    from har.release._limits import hard_limits
    from har.release._measured import Measured
    from har.release._paired import Paired
    from har.release._reading import PairedReader
    from har.release._spans import Spans
    from har.release._tally import Answers, Tally
    from har.release._values import Check, Limits, Outcome, Side, StepEvidence, Verdict

_JUDGING = {
    "_evaluated": ("evaluated_disagreement",),
    "_judge": ("judge", "quality"),
    "_limits": ("hard_limits",),
    "_measured": ("Measured",),
    "_paired": ("Paired",),
    "_reading": ("PairedReader",),
    "_spans": ("Spans",),
    "_tally": ("Answers", "Tally"),
    "_values": ("Check", "Limits", "Outcome", "Side", "StepEvidence", "Verdict"),
}
"""Modules that need numpy or the lake: they are imported where they are used. A command that takes a version back must
not wait for them."""

__all__ = [
    "BUCKETS",
    "SHADOW",
    "THE_JUDGE",
    "Answers",
    "Check",
    "Command",
    "Controller",
    "Counts",
    "Ending",
    "Judged",
    "Limits",
    "Measure",
    "Measured",
    "Move",
    "Order",
    "Outcome",
    "Paired",
    "PairedReader",
    "Plan",
    "Record",
    "Releases",
    "Role",
    "Served",
    "Serving",
    "Side",
    "Spans",
    "State",
    "Step",
    "StepEvidence",
    "Tally",
    "Verdict",
    "Watch",
    "bucket",
    "buckets",
    "evaluated_disagreement",
    "hard_limits",
    "is_served_by_canary",
    "judge",
    "next_move",
    "quality",
    "recorded",
]


def __getattr__(name: str) -> Any:
    """Import what judges, when it is first asked for."""
    for module, names in _JUDGING.items():
        if name in names:
            return getattr(import_module(f"har.release.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
