"""`monitor`: a day's profiles in, a report, a decision and its event out, in this order and each kept before the next.

What a killed run left undone the next one does: a day without a decision is judged again, an event that nobody has
handled is sent again.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_table_artifact

from flows._console import console
from flows._events import of_decision, promotion, send
from flows._project import IO_RETRIES, Project, open_project, retraining_is_on
from har.errors import MonitoringError, NotEnoughDataError, RegistryError
from har.monitoring import (
    STARTS_TRAINING,
    DayReport,
    DecisionRow,
    Reference,
    ask,
    decide,
    decisions,
    find_decision,
    gather_facts,
    mark,
    measure,
    note_decision,
    quality_alarms,
    reports,
    store_report,
    subject_days,
    unheard,
    watch_day,
    watch_probation,
    write_pages,
)
from har.registry import Version, whoami

RESEND_AFTER = dt.timedelta(hours=1)
"""An event that arrived may still have started nothing: it is sent again when it is as old as this and unhandled."""
ATTEMPTS = 3
"""So often a training may fail for one decision."""


@dataclass(frozen=True)
class MonitorReport:
    """What a run of `monitor` did.

    Attributes:
        model_version: the champion, when the run ended.
        days: the reports it made.
        decisions: what it decided, or did for an earlier run.
        unsent: decisions whose event the server did not take; the next run sends it.
        index: the page that leads to all reports; None: there are none.
    """

    model_version: int
    days: tuple[DayReport, ...]
    decisions: tuple[DecisionRow, ...]
    unsent: int
    index: Path | None


@dataclass(frozen=True)
class _Champion:
    version: Version
    reference: Reference


@task(name="watch-day", task_run_name="watch {date}", **IO_RETRIES)
def watch(project: Project, champion: _Champion, date: dt.date) -> DayReport:
    """Compare a day with the champion's reference, and keep the report."""
    settings, lake, version = project.settings, project.lake, champion.version
    days = subject_days(lake, date)
    split = project.registry.recipe(version.number)["split"]
    report = watch_day(
        date,
        version.number,
        champion.reference,
        days,
        reports(lake, model_version=version.number, before=date),
        settings.drift,
        performance=measure(
            lake,
            settings,
            date=date,
            model_version=version.number,
            expected=version.metrics["accuracy"],
            seen={*split["train"], *split["validation"]},
        ),
        quality=quality_alarms(days),
    )
    store_report(lake, report)
    return report


@task(name="decide", task_run_name="decide on {report.date}", **IO_RETRIES)
def settle(project: Project, champion: _Champion, report: DayReport) -> DecisionRow:
    """Decide what is to be done about a day, and keep the decision; what it asks for comes after that."""
    settings, lake, version = project.settings, project.lake, champion.version
    facts = gather_facts(
        lake,
        settings,
        report,
        recipe=project.registry.recipe(version.number),
        automatic=retraining_is_on(),
        probation=watch_probation(lake, settings, project.registry, report),
    )
    decision = decide(report, facts, settings.retraining)
    note_decision(lake, decision, version.number)
    if decision.action == "ask":
        ask(lake, settings, (report.since or report.date, report.date), decision.id)
    row = find_decision(lake, decision.id)
    if row is None:
        raise MonitoringError(
            where=str(lake.decisions.path),
            expected=f"the decision {decision.id} that was just written",
            got="none",
            remedy="Something else writes this table: end it, then run har monitor again.",
        )
    return row


@task(name="carry-out", task_run_name="carry out {row.decision_id}", **IO_RETRIES)
def carry_out(project: Project, row: DecisionRow) -> str:
    """Do what a decision asks for and send its event; "", or why the server did not take it."""
    outcome = ""
    if row.action == "rollback":
        outcome = _roll_back(project, row)
    why_not = send(of_decision(project.settings, row))
    if why_not:
        console.print(f"[yellow]{row.date}: the Prefect server did not take {row.event}[/] ({why_not}).")
        console.print("The decision is kept; the next run of monitor sends it again.")
        return why_not
    now = dt.datetime.now(dt.UTC)
    if row.event in STARTS_TRAINING:
        mark(project.lake, [row], emitted_at=now)
    else:
        mark(project.lake, [row], emitted_at=now, handled_at=now, outcome=outcome or "announced")
    return ""


@flow(name="monitor")
def monitor(date: dt.date | None = None, again: bool = False) -> MonitorReport:
    """Report on every day that has profiles and no decision yet, and act on what the policy says.

    Days that the champion was trained on are not judged. A day that is judged again keeps its earlier decisions in the
    log, and gets another one only if something else is decided now.

    Args:
        date: this day only.
        again: also if it was judged before.
    """
    project = open_project()
    champion = project.registry.champion()
    if not project.settings.monitoring.enabled:
        console.print("Monitoring is switched off: monitoring.enabled in har.toml.")
        return MonitorReport(champion.number, (), (), 0, None)
    unsent = 0
    done: list[DecisionRow] = []
    for row in _to_send(project, champion):
        done.append(row)
        unsent += bool(carry_out(project, row))
    current = _with_reference(project)
    days: list[DayReport] = []
    for day in [date] if again and date else _due(project, current.version, date):
        report = watch(project, current, day)
        days.append(report)
        row = settle(project, current, report)
        console.print(f"{day}: {report.verdict} [dim]→ {row.action}[/]", highlight=False)
        if row.event and row.emitted_at is None:
            unsent += bool(carry_out(project, row))
        done.append(row)
        if row.action == "rollback":
            current = _with_reference(project)
    index = _publish(project, days, done)
    return MonitorReport(current.version.number, tuple(days), tuple(done), unsent, index)


def _with_reference(project: Project) -> _Champion:
    version = project.registry.champion()
    try:
        path = project.registry.artifact(version.number, "reference.json")
    except RegistryError as error:
        raise MonitoringError(
            where=f"version {version.number}",
            expected="a reference to compare days with",
            got="none was registered with it",
            remedy="It was trained before monitoring was there, or without: train and promote another, har train.",
        ) from error
    return _Champion(version, Reference.read(path))


def _due(project: Project, champion: Version, date: dt.date | None) -> list[dt.date]:
    """Days with profiles that nobody has decided on, after those that the champion was trained on."""
    lake = project.lake
    known = {row.date for row in decisions(lake)}
    profiled: list[dt.date] = (
        lake.profiles.scan().filter(pl.col("days") == 1).select("date").unique().collect()["date"].sort().to_list()
    )
    after = champion.tags.get("trained_to", "")
    due = [day for day in profiled if day not in known and day.isoformat() > after and date in (None, day)]
    if date is not None and not due and date not in profiled:
        raise NotEnoughDataError(
            where=f"monitor, {date}",
            expected="a day that was scored",
            got="no profiles of it",
            remedy="Score it first: har score. Days scored before there was monitoring: har score --rescore.",
        )
    return due


def _to_send(project: Project, champion: Version) -> list[DecisionRow]:
    """Earlier decisions that are still to be heard; those that time has made void are closed."""
    now = dt.datetime.now(dt.UTC)
    rows = []
    for row in unheard(project.lake):
        void = ""
        if row.event in STARTS_TRAINING:
            if row.model_version != champion.number:
                void = f"void: version {champion.number} serves since"
            elif row.attempts >= ATTEMPTS:
                void = f"given up after {row.attempts} attempts: {row.outcome}"
        if void:
            mark(project.lake, [row], handled_at=now, outcome=void)
            console.print(f"[yellow]{row.date}, {row.action}:[/] {void}.")
        elif row.emitted_at is None or now - row.emitted_at > RESEND_AFTER:
            rows.append(row)
    return rows


def _roll_back(project: Project, row: DecisionRow) -> str:
    """Let the former champion serve again; a run that was killed may have done so already."""
    registry = project.registry
    if registry.champion().number == row.payload["version"]:
        registry.rollback(reason=" ".join(row.reasons), who=f"monitor ({whoami()})")
        why_not = send(promotion(project.settings, registry.champion().number))
        if why_not:
            console.print(f"[yellow]The Prefect server did not take the news[/] ({why_not}): har package.")
    return f"version {registry.champion().number} serves again"


def _publish(project: Project, days: list[DayReport], done: list[DecisionRow]) -> Path | None:
    every = reports(project.lake)
    if not every:
        return None
    index = write_pages(
        project.settings.path("reports"),
        every,
        decisions(project.lake),
        project.registry.log(),
        title=project.settings.project.name,
    )
    if days:
        create_table_artifact(
            key="monitor-run",
            table=[{"day": str(day.date), "score": f"{day.score:.2f}", "verdict": day.verdict} for day in days],
            description="; ".join(f"{row.date}: {row.action}" for row in done),
        )
        create_link_artifact(
            key="drift-report",
            link=(index.parent / f"{days[-1].date}.html").as_uri(),
            description=f"{days[-1].date}: {days[-1].verdict}",
        )
        create_link_artifact(key="drift-index", link=index.as_uri(), description="All days.")
    return index
