"""The work of `monitor`: days to judge, and events of earlier decisions to send."""

from __future__ import annotations

import datetime as dt

import polars as pl

from har.errors import MonitoringError, NotEnoughDataError
from har.lake import Lake
from har.monitoring import DecisionLog, DriftReports, Profiles
from har.monitoring.decisions import STARTS_TRAINING, Decision, DecisionRow, OpenTraining
from har.project import Project
from har.registry import Version

FAILED = "failed: "
"""Prefix of the outcome of a decision whose training failed and can be repeated."""
RESEND_AFTER = dt.timedelta(hours=1)
"""Send an event again after this time if nobody has handled it; a time ahead of the clock, which was set back, too."""
ATTEMPTS = 3
"""Give up after this many failed trainings."""
RETRAINING_FAILED = "har.retraining.failed"
"""The event of a decision whose training was given up; a person has to look into it."""


def due_days(
    project: Project, champion: Version, date: dt.date | None, *, again: bool
) -> tuple[list[dt.date], list[str]]:
    """Days to judge, and notes about those that cannot be judged yet."""
    lake = project.lake
    profiled = _profiled_days(project, champion)
    if date is not None:
        if not profiled.filter((pl.col("date") == date) & pl.col("by_champion")).height:
            raise NotEnoughDataError(
                where=f"monitor, {date}",
                expected=f"a day that version {champion.number} scored",
                got="no profiles by this version",
                remedy="Score it first: har score. Days that another version scored: har score --rescore.",
            )
        candidates = profiled.filter(pl.col("date") == date)
    else:
        candidates = profiled.filter(pl.col("date").cast(pl.String) > _trained_to(champion))
    if candidates.is_empty():
        return [], []
    known = {row.date: row for row in DecisionLog(lake).about_days(candidates["date"][0])}
    made = dict(DriftReports(lake).made_at(candidates["date"]).iter_rows())
    today = dt.datetime.now(project.settings.project.zone).date()
    due, future, of_other_version = [], [], []
    for day, made_at, has_own_profile in candidates.iter_rows():
        late = day in made and made_at > made[day]
        answered = day == max(known, default=None) and _labels_came(lake, known[day], made.get(day))
        if not again and day in known and not late and not answered:
            continue
        if date is None and day >= today:
            future.append(day)
        elif not has_own_profile:
            of_other_version.append(day)
        else:
            due.append(day)
    notes = []
    if of_other_version:
        more = f" and {len(of_other_version) - 1} more days" if len(of_other_version) > 1 else ""
        which = f"{of_other_version[0]}{more}"
        notes.append(f"Another version than the champion, {champion.number}, scored {which}: har score --rescore.")
    if future and future[-1] > today + dt.timedelta(days=1):
        notes.append(f"Recordings of {future[-1]} wait until that day is over. Was the clock of a device wrong?")
    return due, notes


def why_no_day_is_due(project: Project, champion: Version) -> str:
    """Why `due_days` found no day: the reasons that hold, with dates, and what to do."""
    lake, settings = project.lake, project.settings
    scored = _profiled_days(project, champion)["date"].to_list()
    if not scored:
        if not lake.scores.count():
            return "no day has been scored yet. Score first: har score."
        return (
            f"no day of the last {settings.monitoring.keep_days} (monitoring.keep_days) has a profile. Score newer "
            "recordings, or make the profiles again: har score --rescore."
        )
    trained_to = _trained_to(champion)
    later = [day for day in scored if str(day) > trained_to]
    if not later:
        return (
            f"version {champion.number} was trained on recordings up to {trained_to}, and the newest scored day is "
            f"{scored[-1]}. Days after {trained_to} are monitored: ingest and score newer recordings. A day of the "
            f"training: har monitor --date {scored[-1]}."
        )
    today = dt.datetime.now(settings.project.zone).date()
    judged = [row.date for row in DecisionLog(lake).about_days(later[0]) if row.date in later]
    open_days = [day for day in later if day >= today and day not in judged]
    reasons = []
    if judged:
        reasons.append(f"every scored day up to {max(judged)} has been judged (again: har monitor --again)")
    if open_days:
        reasons.append(f"{open_days[0]} is not over yet in {settings.project.timezone}")
    return f"{', and '.join(reasons) or 'another version scored the days since'}."


def _trained_to(champion: Version) -> str:
    """The newest date that the version was trained on, ISO 8601; "": unknown."""
    return champion.tags.get("trained_to", "")


def _profiled_days(project: Project, champion: Version) -> pl.DataFrame:
    """The dates with profiles, sorted: `date`, `made_at` of the newest, and whether the champion made one."""
    lake = project.lake
    oldest = Profiles(lake).oldest_kept(project.settings.monitoring.keep_days) or dt.date.min
    by_champion = (pl.col("model_version") == champion.number).any().alias("by_champion")
    return lake.profiles.collect(
        lake.profiles.scan()
        .filter(pl.col("date") >= oldest)
        .group_by("date")
        .agg(pl.col("made_at").max(), by_champion)
        .sort("date")
    )


def _labels_came(lake: Lake, row: DecisionRow, made_at: dt.datetime | None) -> bool:
    """Whether feedback arrived after a report whose decision waits for labels."""
    if row.action not in ("ask", "hold") or made_at is None:
        return False
    return max(lake.labels.written_at().values(), default=0.0) > made_at.timestamp()


def to_send(project: Project, champion: Version) -> tuple[list[DecisionRow], list[str]]:
    """Earlier decisions whose event is to be sent, and notes about trainings that are open or given up."""
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
        elif (
            row.emitted_at is None
            or row.outcome.startswith(FAILED)
            or now - row.emitted_at > RESEND_AFTER
            or row.emitted_at > now  # the clock was put back: nobody knows how long ago that was
        ):
            rows[row.decision_id] = row
            if row.event in STARTS_TRAINING:
                notes.append(OpenTraining(row.date, row.decision_id, row.attempts, row.outcome).sentence)
    return list(rows.values()), notes


def stored_decision(lake: Lake, decision_id: str) -> DecisionRow:
    """Read a decision back from the log.

    Raises:
        MonitoringError: the log does not contain it.
    """
    row = DecisionLog(lake).find(decision_id)
    if row is None:
        raise MonitoringError(
            where=str(lake.decisions.where),
            expected=f"the decision {decision_id} that was just written",
            got="none",
            remedy="Another program writes this table: stop it, then run har monitor again.",
        )
    return row


def _give_up(project: Project, row: DecisionRow) -> DecisionRow:
    """Close a decision whose training failed too often, and replace it by an alert."""
    reason = f"The training decided on {row.date} failed {row.attempts} times; {row.outcome}"
    alert = Decision(
        date=row.date,
        action="alert",
        reasons=(reason, *row.reasons),
        event=RETRAINING_FAILED,
        payload={"since": row.payload.get("since"), "reason": reason, "retraining": row.decision_id},
    )
    # The alert first: if the run is killed between the two, the next one repeats both, and the alert has the same id.
    DecisionLog(project.lake).add(alert, row.model_version)
    DecisionLog(project.lake).mark(
        [row],
        handled_at=dt.datetime.now(dt.UTC),
        outcome=f"given up after {row.attempts} attempts: {row.outcome}",
    )
    return stored_decision(project.lake, alert.id)
