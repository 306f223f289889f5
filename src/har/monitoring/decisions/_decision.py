"""A decision: what is to be done about a monitored day, or was done in a release, and why."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

Action = Literal["nothing", "watch", "retrain", "ask", "hold", "alert", "rollback", "release"]
"""`watch`: an alarm that is not confirmed; `hold`: a training is due but has to wait; `release`: a step of a release,
which is about no day's data."""


@dataclass(frozen=True)
class Decision:
    """What is to be done about a day.

    Attributes:
        date: the day judged.
        action: what is to be done.
        reasons: in sentences, with figures.
        event: the Prefect event that announces it, "" for none.
        payload: the event's: JSON values.
    """

    date: dt.date
    action: Action
    reasons: tuple[str, ...]
    event: str
    payload: dict[str, Any]

    @property
    def id(self) -> str:
        """The decision's id: the same day, action and payload give the same one."""
        content = json.dumps([self.date.isoformat(), self.action, self.payload], sort_keys=True)
        return f"{self.date.isoformat()}-{self.action}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
