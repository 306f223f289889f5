"""The lake's log of decisions, with what came of each."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from har.lake import Lake, Partition
from har.monitoring.decisions._decision import Decision
from har.schema import EVERYONE

_ANY_TEXT = "\0"
"""No text but the empty one comes before it."""
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
        newest = self._table.newest("decided_at")
        now = dt.datetime.now(dt.UTC)
        return now if newest is None else max(now, newest + dt.timedelta(microseconds=1))

    def rows(self, partitions: Collection[Partition] | None = None) -> list[DecisionRow]:
        """All decisions, or those in some partitions of the table, oldest first."""
        rows = self._table.read(partitions=partitions).sort("decided_at", "date")
        return [DecisionRow.from_row(row) for row in rows.iter_rows(named=True)]

    def of_dates(self, dates: Iterable[dt.date]) -> list[DecisionRow]:
        """Decisions of these dates, oldest first."""
        return self.rows([(date, EVERYONE) for date in dates])

    def about_days(self, since: dt.date | None = None) -> list[DecisionRow]:
        """The policy's decisions about monitored days, oldest first; without the steps of releases.

        Args:
            since: the first day; None: all.
        """
        return [row for row in self.rows(self._table.partitions_within("date", since)) if row.action != RELEASE]

    def find(self, decision_id: str) -> DecisionRow | None:
        """One decision by its id."""
        rows = self.rows(self._table.partitions_within("decision_id", decision_id, decision_id))
        return next((row for row in rows if row.decision_id == decision_id), None)

    def unhandled(self) -> list[DecisionRow]:
        """Decisions with an event that nobody has handled yet, oldest first."""
        with_event = set(self._table.partitions_within("event", _ANY_TEXT))
        rows = self.rows(with_event.intersection(self._table.partitions_with_nulls("handled_at")))
        return [row for row in rows if row.event and row.handled_at is None]

    def about(self, action: str) -> pl.DataFrame:
        """The rows of the table with this action, in any order."""
        rows = self._table.read(partitions=self._table.partitions_within("action", action, action))
        return rows.filter(pl.col("action") == action)

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
