"""`monitor`: a day's profiles in, a report, a decision and its event out, in this order and each kept before the next.

What a killed run left undone the next one does: a day without a decision is judged again, an event that nobody has
handled is sent again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.states import Completed, State
from rich.markup import escape

from flows._agenda import due_days, kept, to_send
from flows._console import console
from flows._events import of_decision, promotion, send
from flows._project import IO_RETRIES, Project, open_project, retraining_is_on
from har.monitoring import DecisionLog, DriftReports, Profiles, write_pages
from har.monitoring.decisions import (
    STARTS_TRAINING,
    DecisionRow,
    decide,
    gather_facts,
    measure_performance,
    request_labels,
    watch_probation,
)
from har.monitoring.drift import REFERENCE, DayReport, Reference, watch_day
from har.monitoring.profiles import quality_alarms
from har.registry import Version, whoami


@dataclass(frozen=True)
class MonitorReport:
    """What a run of `monitor` did.

    Attributes:
        model_version: the champion, when the run ended.
        days: the reports it made.
        decisions: what it decided, or did for an earlier run.
        unsent: decisions whose event the server did not take; the next run sends it.
        index: the page that leads to all reports; None: there are none.
        notes: what somebody should know, in sentences; with any the run ends as `CompletedWithWarnings`.
    """

    model_version: int
    days: tuple[DayReport, ...]
    decisions: tuple[DecisionRow, ...]
    unsent: int
    index: Path | None
    notes: tuple[str, ...] = ()


class _Champion:
    """The version that serves, with its reference. No dataclass: Prefect would look through every number of it."""

    def __init__(self, version: Version, reference: Reference) -> None:
        self.version, self.reference = version, reference


@task(name="watch-day", task_run_name="watch {date}", **IO_RETRIES)
def watch(project: Project, champion: _Champion, date: dt.date) -> DayReport:
    """Compare a day with the champion's reference, and keep the report."""
    settings, lake, version = project.settings, project.lake, champion.version
    days = Profiles(lake).of_day(date)
    split = project.registry.recipe(version.number)["split"]
    report = watch_day(
        date,
        version.number,
        champion.reference,
        days,
        DriftReports(lake).of(model_version=version.number, before=date),
        settings.drift,
        performance=measure_performance(
            lake,
            settings,
            date=date,
            model_version=version.number,
            expected=version.metrics["accuracy"],
            seen={*split["train"], *split["validation"]},
        ),
        quality=quality_alarms(days),
    )
    DriftReports(lake).store(report)
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
    DecisionLog(lake).add(decision, version.number)
    if decision.action == "ask":
        request_labels(lake, settings, (report.since or report.date, report.date), decision.id)
    return kept(lake, decision.id)


@task(name="carry-out", task_run_name="carry out {row.decision_id}", **IO_RETRIES)
def carry_out(project: Project, row: DecisionRow) -> str:
    """Do what a decision asks for and send its event; "", or why the server did not take it."""
    outcome = "announced"
    if row.action == "rollback":
        outcome, why_not = _roll_back(project, row)
        if why_not:
            return why_not
    why_not = send(of_decision(project.settings, row))
    if why_not:
        return why_not
    now = dt.datetime.now(dt.UTC)
    if row.event in STARTS_TRAINING:
        DecisionLog(project.lake).mark([row], emitted_at=now)
    else:
        DecisionLog(project.lake).mark([row], emitted_at=now, handled_at=now, outcome=outcome)
    return ""


@flow(name="monitor")
def monitor(date: dt.date | None = None, again: bool = False) -> State[Any]:
    """Report on every day that has news, oldest first, and act on what the policy says.

    Those are the days that are over, that the champion was not trained on, and that have no decision yet, more data
    than when they were judged, or, the newest one, labels that its decision waits for. A day that is judged again
    keeps its earlier decisions in the log, and gets another one only if something else is decided now.

    The run ends as `Completed`, or as `CompletedWithWarnings` where the report has notes.

    Args:
        date: this day only, even if it is not over or the champion was trained on it.
        again: also what was judged before.

    Raises:
        NoChampionError: nothing serves yet.
        NotEnoughDataError: no champion has scored `date`.
    """
    project = open_project()
    champion = project.registry.champion()
    if not project.settings.monitoring.enabled:
        return _ended(champion, notes=["Monitoring is switched off: monitoring.enabled in har.toml."])
    notes: list[str] = []
    unsent = 0
    done: list[DecisionRow] = []

    def act(row: DecisionRow) -> None:
        nonlocal unsent
        done.append(row)
        why_not = carry_out(project, row)
        if why_not:
            unsent += 1
            notes.append(
                f"The Prefect server did not take {row.event} of {row.date} ({why_not}); the next run sends it."
            )

    unhandled, gone = to_send(project, champion)
    notes += gone
    for row in unhandled:
        act(row)
    current = _with_reference(project)
    if current is None:
        number = project.registry.champion().number
        notes.append(
            f"Version {number} has no reference to compare days with: it was trained before there was monitoring, or "
            "without. Train and promote another: har train."
        )
        return _ended(champion, done, unsent=unsent, notes=notes)
    due, waiting = due_days(project, current.version, date, again=again)
    notes += waiting
    days: list[DayReport] = []
    for day in due:
        report = watch(project, current, day)
        days.append(report)
        row = settle(project, current, report)
        console.print(f"{day}: {report.verdict} [dim]→ {row.action}[/]", highlight=False)
        if row.event and row.emitted_at is None:
            act(row)
        else:
            done.append(row)
        if row.action == "rollback" and project.registry.champion().number != current.version.number:
            # The days after it were seen by the version that was taken back.
            break
    return _ended(
        project.registry.champion(), done, days=days, unsent=unsent, index=_publish(project, days, done), notes=notes
    )


def _ended(
    champion: Version,
    done: Sequence[DecisionRow] = (),
    *,
    days: Sequence[DayReport] = (),
    unsent: int = 0,
    index: Path | None = None,
    notes: Sequence[str] = (),
) -> State[Any]:
    report = MonitorReport(champion.number, tuple(days), tuple(done), unsent, index, tuple(notes))
    for note in notes:
        console.print(f"[yellow]{escape(note)}[/]", highlight=False)
    if notes:
        return Completed(name="CompletedWithWarnings", message=" ".join(notes), data=report)
    told = "; ".join(f"{row.date}: {row.action}" for row in done)
    return Completed(message=f"{len(days)} days. {told}".strip(), data=report)


def _with_reference(project: Project) -> _Champion | None:
    """The champion; None if it was registered without a reference."""
    version = project.registry.champion()
    if not any(name.endswith(REFERENCE) for name in version.tags):
        return None
    return _Champion(version, Reference.read(project.registry.artifact(version.number, REFERENCE)))


def _roll_back(project: Project, row: DecisionRow) -> tuple[str, str]:
    """Let the former champion serve again: the outcome, and why the server did not take the news ("" if it did).

    A run that was killed may have done so already; then only the news is repeated, so that its bentos are served.
    """
    registry = project.registry
    if registry.champion().number == row.payload["version"]:
        registry.rollback(reason=" ".join(row.reasons), who=f"monitor ({whoami()})")
    number = registry.champion().number
    return f"version {number} serves again", send(promotion(project.settings, number))


def _publish(project: Project, days: list[DayReport], done: list[DecisionRow]) -> Path | None:
    every = DriftReports(project.lake).of()
    if not every:
        return None
    index = write_pages(
        project.settings.path("reports"),
        every,
        DecisionLog(project.lake).rows(),
        project.registry.log(),
        title=project.settings.project.name,
    )
    if days:
        page = index.parent / f"{days[-1].date}.html"
        lines = [f"- [{day.date}]({(index.parent / f'{day.date}.html').as_uri()}): {day.verdict}" for day in days]
        acts = [f"- {row.date}: **{row.action}**. {' '.join(row.reasons)}" for row in done]
        create_markdown_artifact(
            key="monitor-run",
            markdown="\n".join([*lines, "", "What was decided:", "", *acts]),
            description="What the last run found, and what it decided.",
        )
        create_link_artifact(key="drift-report", link=page.as_uri(), description=f"{days[-1].date}: {days[-1].verdict}")
        create_link_artifact(key="drift-index", link=index.as_uri(), description="All days.")
    return index
