"""What the history shows of each day, kept beside the pages: a new day does not need the reports of all others."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from har.files import write_atomically
from har.monitoring.decisions import DecisionRow
from har.monitoring.drift import DayReport

KEPT = ".drift-days.parquet"
"""The file, in the folder of reports; it can be deleted at any time."""
_SCHEMA = pl.Schema(
    {
        "date": pl.Date(),
        "content": pl.String(),
        "sizes": pl.List(pl.Int64()),
        "model_version": pl.Int64(),
        "judged": pl.Boolean(),
        "alarmed": pl.Boolean(),
        "confirmed": pl.Boolean(),
        "score": pl.Float64(),
        "subjects": pl.Int64(),
        "verdict": pl.String(),
        "worst": pl.String(),
        "actions": pl.List(pl.String()),
        "features": pl.List(pl.String()),
        "scores": pl.List(pl.Float64()),
    }
)


@dataclass(frozen=True)
class DaySummary:
    """A monitored day in the history.

    Attributes:
        date: the day.
        model_version: the version whose reference it was compared with.
        judged: as in the day's report.
        alarmed: as in the day's report.
        confirmed: as in the day's report.
        score: as in the day's report.
        subjects: as in the day's report.
        verdict: as in the day's report.
        worst: the feature with the highest score, the model's confidence left out; "–" without one.
        actions: what was decided about it, in order.
        features: the score of each feature, worst first.
    """

    date: dt.date
    model_version: int
    judged: bool
    alarmed: bool
    confirmed: bool
    score: float
    subjects: int
    verdict: str
    worst: str
    actions: tuple[str, ...]
    features: Mapping[str, float]

    @classmethod
    def of(cls, report: DayReport, decisions: Iterable[DecisionRow]) -> DaySummary:
        """From a day's report and the decisions about it, in any order."""
        inputs = (one.name for one in report.features if one.kind != "confidence")
        return cls(
            date=report.date,
            model_version=report.model_version,
            judged=report.judged,
            alarmed=report.alarmed,
            confirmed=report.confirmed,
            score=report.score,
            subjects=report.subjects,
            verdict=report.verdict,
            worst=next(inputs, "–"),
            actions=tuple(row.action for row in sorted(decisions, key=lambda row: row.decided_at)),
            features={one.name: one.score for one in report.features},
        )


@dataclass(frozen=True)
class Kept:
    """A day whose page is written.

    Attributes:
        content: identifies what its page and its JSON were made from.
        sizes: bytes of both, page first.
        day: what the history shows.
    """

    content: str
    sizes: tuple[int, int]
    day: DaySummary


def summaries(reports: Iterable[DayReport], decisions: Iterable[DecisionRow]) -> list[DaySummary]:
    """The days in order, one a date; the later one of two reports about one date counts."""
    decided: dict[dt.date, list[DecisionRow]] = {}
    for row in decisions:
        decided.setdefault(row.date, []).append(row)
    days = sorted({report.date: report for report in reports}.items())
    return [DaySummary.of(report, decided.get(date, [])) for date, report in days]


def read_kept(folder: Path) -> dict[dt.date, Kept]:
    """What was kept in the folder of reports; nothing if it cannot be read."""
    try:
        rows = pl.read_parquet(folder / KEPT).match_to_schema(_SCHEMA)
    except (OSError, pl.exceptions.PolarsError):
        return {}
    return {row["date"]: _kept(row) for row in rows.iter_rows(named=True)}


def write_kept(folder: Path, kept: Sequence[Kept]) -> None:
    """Replace what is kept in the folder of reports."""
    rows = [
        {
            **{name: getattr(one.day, name) for name in _SCHEMA.names() if name in DaySummary.__dataclass_fields__},
            "content": one.content,
            "sizes": list(one.sizes),
            "actions": list(one.day.actions),
            "features": list(one.day.features),
            "scores": list(one.day.features.values()),
        }
        for one in kept
    ]
    stream = io.BytesIO()
    pl.DataFrame(rows, _SCHEMA).write_parquet(stream)
    write_atomically(folder / KEPT, stream.getvalue())


def _kept(row: dict[str, Any]) -> Kept:
    features = dict(zip(row.pop("features"), row.pop("scores"), strict=True))
    content, (page, data), actions = row.pop("content"), row.pop("sizes"), tuple(row.pop("actions"))
    return Kept(content, (page, data), DaySummary(**row, actions=actions, features=features))
