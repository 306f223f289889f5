"""What `monitor` finds to do: days with news, and decisions of earlier runs that are not handled yet."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import polars as pl

from flows._project import FAILED, Project
from har.errors import MonitoringError, NotEnoughDataError
from har.lake import Lake
from har.monitoring import DecisionLog, Profiles
from har.monitoring.decisions import STARTS_TRAINING, Decision, DecisionRow
from har.registry import Version

RESEND_AFTER = dt.timedelta(hours=1)
"""An event that arrived may still have started nothing: it is sent again when it is as old as this and unhandled."""
ATTEMPTS = 3
"""So often a training may fail for one decision."""
RETRAINING_FAILED = "har.retraining.failed"
"""It failed so often: somebody has to look."""


def due_days(
    project: Project, champion: Version, date: dt.date | None, *, again: bool
) -> tuple[list[dt.date], list[str]]:
    """Days to be judged, and what is to be said of those that cannot be yet."""
    lake = project.lake
    own = (pl.col("model_version") == champion.number).any().alias("own")
    profiled = (
        lake.profiles.scan()
        .filter(pl.col("date") >= (Profiles(lake).oldest_kept(project.settings.monitoring.keep_days) or dt.date.min))
        .group_by("date")
        .agg(pl.col("made_at").max(), own)
        .sort("date")
        .collect()
    )
    if date is not None:
        if not profiled.filter((pl.col("date") == date) & pl.col("own")).height:
            raise NotEnoughDataError(
                where=f"monitor, {date}",
                expected=f"a day that version {champion.number} scored",
                got="no profiles of it",
                remedy="Score it first: har score. Days that another version scored: har score --rescore.",
            )
        news = profiled.filter(pl.col("date") == date)
    else:
        after = champion.tags.get("trained_to", "")
        news = profiled.filter(pl.col("date").cast(pl.String) > after)
    known = {row.date: row for row in DecisionLog(lake).rows()}
    made = dict(lake.drift.read(columns=["date", "made_at"]).iter_rows())
    today = _today(project.settings.project.timezone)
    due, future, foreign = [], [], []
    for day, made_at, seen in news.iter_rows():
        late = day in made and made_at > made[day]
        answered = day == max(known, default=None) and _labels_came(lake, known[day], made.get(day))
        if not again and day in known and not late and not answered:
            continue
        if date is None and day >= today:
            future.append(day)
        elif not seen:
            foreign.append(day)
        else:
            due.append(day)
    notes = []
    if foreign:
        which = f"{foreign[0]} and {len(foreign) - 1} more days" if len(foreign) > 1 else str(foreign[0])
        notes.append(f"Another version than the champion, {champion.number}, scored {which}: har score --rescore.")
    if future and future[-1] > today + dt.timedelta(days=1):
        notes.append(f"Recordings of {future[-1]} wait until that day is over: was a clock wrong?")
    return due, notes


def _today(timezone: str) -> dt.date:
    return dt.datetime.now(dt.UTC if timezone == "UTC" else ZoneInfo(timezone)).date()


def _labels_came(lake: Lake, row: DecisionRow, made_at: dt.datetime | None) -> bool:
    """Whether feedback arrived after a day's report that ended in waiting for it."""
    if row.action not in ("ask", "hold") or made_at is None:
        return False
    return max(lake.labels.written_at().values(), default=0.0) > made_at.timestamp()


def to_send(project: Project, champion: Version) -> tuple[list[DecisionRow], list[str]]:
    """Earlier decisions whose event is to be sent, and what is to be said of those that time has made void."""
    now = dt.datetime.now(dt.UTC)
    rows: dict[str, DecisionRow] = {}
    notes = []
    for row in DecisionLog(project.lake).unhandled():
        if row.event in STARTS_TRAINING and row.model_version != champion.number:
            DecisionLog(project.lake).mark(
                [row], handled_at=now, outcome=f"void: version {champion.number} serves since"
            )
        elif row.event in STARTS_TRAINING and row.attempts >= ATTEMPTS:
            alert = _give_up(project, row)
            rows[alert.decision_id] = alert
            notes.append(f"The training that was decided on {row.date} is given up: {row.outcome}")
        elif row.emitted_at is None or row.outcome.startswith(FAILED) or now - row.emitted_at > RESEND_AFTER:
            rows[row.decision_id] = row
    return list(rows.values()), notes


def kept(lake: Lake, decision_id: str) -> DecisionRow:
    row = DecisionLog(lake).find(decision_id)
    if row is None:
        raise MonitoringError(
            where=str(lake.decisions.path),
            expected=f"the decision {decision_id} that was just written",
            got="none",
            remedy="Something else writes this table: end it, then run har monitor again.",
        )
    return row


def _give_up(project: Project, row: DecisionRow) -> DecisionRow:
    """Close a decision whose training fails again and again, with an alert in its place."""
    told = f"The training decided on {row.date} failed {row.attempts} times; {row.outcome}"
    alert = Decision(
        date=row.date,
        action="alert",
        reasons=(told, *row.reasons),
        event=RETRAINING_FAILED,
        payload={"since": row.payload.get("since"), "reason": told, "retraining": row.decision_id},
    )
    # The alert first: a run that is killed between the two does both again, and the alert has the same id.
    DecisionLog(project.lake).add(alert, row.model_version)
    DecisionLog(project.lake).mark(
        [row],
        handled_at=dt.datetime.now(dt.UTC),
        outcome=f"given up after {row.attempts} attempts: {row.outcome}",
    )
    return kept(project.lake, alert.id)
