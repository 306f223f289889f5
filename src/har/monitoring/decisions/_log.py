"""What monitoring has found and decided so far, kept in the lake: reports by day, decisions with what came of them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from har.lake import EVERYONE, Lake
from har.monitoring.drift._day import DayReport, Decision


@dataclass(frozen=True)
class DecisionRow:
    """A decision as it is kept; see `har.monitoring.Decision` and the table `decisions` for the columns."""

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


def store_report(lake: Lake, report: DayReport) -> None:
    """Keep a day's report, in place of the one there is."""
    row = {
        "date": report.date,
        "subject": EVERYONE,
        "model_version": report.model_version,
        "score": report.score,
        "alarmed": report.alarmed,
        "confirmed": report.confirmed,
        "since": report.since,
        "report": report.to_json(),
        "made_at": dt.datetime.now(dt.UTC),
    }
    lake.drift.replace(pl.DataFrame([row], lake.drift.schema), [(report.date, EVERYONE)])


def reports(lake: Lake, *, model_version: int | None = None, before: dt.date | None = None) -> list[DayReport]:
    """The days' reports, oldest first.

    Args:
        lake: where they are.
        model_version: only those that compared with this version's reference.
        before: only days before this one.

    Raises:
        MonitoringError: a report that this version cannot read.
    """
    table = lake.drift.scan().select("date", "model_version", "report")
    if model_version is not None:
        table = table.filter(pl.col("model_version") == model_version)
    if before is not None:
        table = table.filter(pl.col("date") < before)
    return [
        DayReport.from_json(text, where=f"{lake.drift.path}, {date}")
        for date, _, text in table.sort("date").collect().iter_rows()
    ]


def note_decision(lake: Lake, decision: Decision, model_version: int) -> bool:
    """Add a decision to the log; False if it is there already."""
    row = {
        "date": decision.date,
        "subject": EVERYONE,
        "decision_id": decision.id,
        "action": decision.action,
        "reasons": list(decision.reasons),
        "event": decision.event,
        "payload": json.dumps(decision.payload, sort_keys=True),
        "model_version": model_version,
        "decided_at": dt.datetime.now(dt.UTC),
        "emitted_at": None,
        "handled_at": None,
        "attempts": 0,
        "outcome": "",
    }
    return lake.decisions.add(pl.DataFrame([row], lake.decisions.schema), ["decision_id"]) > 0


def decisions(lake: Lake) -> list[DecisionRow]:
    """The log, oldest decision first."""
    rows = lake.decisions.read().sort("decided_at", "date")
    return [DecisionRow.from_row(row) for row in rows.iter_rows(named=True)]


def find_decision(lake: Lake, decision_id: str) -> DecisionRow | None:
    """One decision by its id."""
    return next((row for row in decisions(lake) if row.decision_id == decision_id), None)


def unheard(lake: Lake) -> list[DecisionRow]:
    """Decisions with an event that nobody has handled yet, oldest first."""
    return [row for row in decisions(lake) if row.event and row.handled_at is None]


def mark(lake: Lake, rows: Sequence[DecisionRow], **changes: Any) -> None:
    """Note what became of decisions.

    Args:
        lake: where the log is.
        rows: the decisions.
        changes: columns of the table and their new values: emitted_at, handled_at, attempts, outcome.
    """
    if rows:
        values = [{"date": row.date, "subject": EVERYONE, "decision_id": row.decision_id, **changes} for row in rows]
        schema = {name: lake.decisions.schema[name] for name in values[0]}
        lake.decisions.amend(pl.DataFrame(values, schema), ["decision_id"])
