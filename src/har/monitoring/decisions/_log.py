"""The lake's log of decisions, with what came of each."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from har.lake import Lake
from har.monitoring.decisions._decision import Decision
from har.schema import EVERYONE

RELEASE: Final = "release"
"""The action of a release's steps. Their date is the day of the step, and no report belongs to them."""


@dataclass(frozen=True)
class DecisionRow:
    """A decision as the lake stores it; see `Decision` and the table `decisions` for the columns."""

    date: dt.date
    decision_id: str
    action: str
    reasons: tuple[str, ...]
    event: str
    payload: dict[str, Any]
    model_version: int
    decided_at: dt.datetime
    emitted_at: dt.datetime | None
    handled_at: dt.datetime | None
    attempts: int
    outcome: str

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> DecisionRow:
        """From a row of the table."""
        values = {name: value for name, value in row.items() if name != "subject"}
        return cls(**{**values, "reasons": tuple(row["reasons"]), "payload": json.loads(row["payload"])})


class DecisionLog:
    """The decisions in a lake.

    Args:
        lake: where they are.
    """

    def __init__(self, lake: Lake) -> None:
        self._table = lake.decisions

    def add(self, decision: Decision, model_version: int) -> bool:
        """Add a decision; False if it is in the log already."""
        row = {
            "date": decision.date,
            "subject": EVERYONE,
            "decision_id": decision.id,
            "action": decision.action,
            "reasons": list(decision.reasons),
            "event": decision.event,
            "payload": json.dumps(decision.payload, sort_keys=True),
            "model_version": model_version,
            "decided_at": self._now(),
            "emitted_at": None,
            "handled_at": None,
            "attempts": 0,
            "outcome": "",
        }
        return self._table.add(pl.DataFrame([row], self._table.schema), ["decision_id"]) > 0

    def _now(self) -> dt.datetime:
        """The time, but later than every decision so far, because it says which one is the newest."""
        newest: Any = self._table.read(columns=["decided_at"])["decided_at"].max()
        now = dt.datetime.now(dt.UTC)
        return now if newest is None else max(now, newest + dt.timedelta(microseconds=1))

    def rows(self) -> list[DecisionRow]:
        """All decisions, oldest first."""
        rows = self._table.read().sort("decided_at", "date")
        return [DecisionRow.from_row(row) for row in rows.iter_rows(named=True)]

    def about_days(self) -> list[DecisionRow]:
        """The policy's decisions about monitored days, oldest first; without the steps of releases."""
        return [row for row in self.rows() if row.action != RELEASE]

    def find(self, decision_id: str) -> DecisionRow | None:
        """One decision by its id."""
        return next((row for row in self.rows() if row.decision_id == decision_id), None)

    def unhandled(self) -> list[DecisionRow]:
        """Decisions with an event that nobody has handled yet, oldest first."""
        return [row for row in self.rows() if row.event and row.handled_at is None]

    def mark(self, rows: Sequence[DecisionRow], **changes: Any) -> None:
        """Record what came of decisions.

        Args:
            rows: the decisions.
            changes: columns of the table and their new values: emitted_at, handled_at, attempts, outcome.
        """
        if rows:
            values = [
                {"date": row.date, "subject": EVERYONE, "decision_id": row.decision_id, **changes} for row in rows
            ]
            schema = {name: self._table.schema[name] for name in values[0]}
            self._table.amend(pl.DataFrame(values, schema), ["decision_id"])
