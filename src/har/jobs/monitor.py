"""Judge scored days: a drift report, a decision and its event, in this order, each stored before the next.

What a killed run left undone the next one does: a day without a decision is judged again, an event that nobody has
handled is sent again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rich.markup import escape

from har.console import console
from har.jobs._due import due_days, to_send
from har.jobs._due import kept as stored_decision
from har.jobs._each import Each, in_turn, once
from har.jobs._events import Send, nobody_listens, of_decision, promotion
from har.monitoring import (
    REFERENCE,
    STARTS_TRAINING,
    DayReport,
    DecisionRow,
    Reference,
    ask,
    decide,
    decisions,
    gather_facts,
    mark,
    measure,
    note_decision,
    quality_alarms,
    reports,
    store_report,
    subject_days,
    watch_day,
    watch_probation,
)
from har.pages import write_index, write_pages
from har.project import Project
from har.registry import Version, whoami


@dataclass(frozen=True)
class MonitorReport:
    """What a run of `monitor` did.

    Attributes:
        model_version: the champion, when the run ended.
        days: the reports it made.
        decisions: what it decided, or did for an earlier run.
        unsent: decisions whose event did not arrive; the next run sends it.
        index: the page that leads to all reports; None: there are none.
        notes: what somebody should know, in sentences.
    """

    model_version: int
    days: tuple[DayReport, ...]
    decisions: tuple[DecisionRow, ...]
    unsent: int
    index: Path | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DayPart:
    """A day to be compared with a version's reference."""

    project: Project
    version: Version
    date: dt.date

    def __str__(self) -> str:
        return str(self.date)


@dataclass(frozen=True)
class DecisionPart:
    """A day's report to decide on."""

    project: Project
    version: Version
    report: DayReport
    automatic: bool

    def __str__(self) -> str:
        return str(self.report.date)


@dataclass(frozen=True)
class ActionPart:
    """A decision to carry out, and what sends its event."""

    project: Project
    row: DecisionRow
    send: Send

    def __str__(self) -> str:
        return self.row.decision_id


def monitor(
    project: Project,
    *,
    date: dt.date | None = None,
    again: bool = False,
    each: Each = in_turn,
    send: Send = nobody_listens,
    automatic: bool = True,
) -> MonitorReport:
    """Report on every day that has news, oldest first, and act on what the policy says.

    Those are the days that are over, that the champion was not trained on, and that have no decision yet, more data
    than when they were judged, or, the newest one, labels that its decision waits for. A day that is judged again
    keeps its earlier decisions in the log, and gets another one only if something else is decided now.

    Args:
        project: whose champion.
        date: this day only, even if it is not over or the champion was trained on it.
        again: also what was judged before.
        each: how to run the steps of a day.
        send: where events go.
        automatic: whether trainings may start by themselves.

    Raises:
        NoChampionError: nothing serves yet.
        NotEnoughDataError: no champion has scored `date`.
    """
    champion = project.registry.champion()
    if not project.settings.monitoring.enabled:
        return _ended(champion, notes=["Monitoring is switched off: monitoring.enabled in har.toml."])
    notes: list[str] = []
    unsent = 0
    done: list[DecisionRow] = []

    def act(row: DecisionRow) -> None:
        nonlocal unsent
        done.append(row)
        why_not = once(each, carry_out, ActionPart(project, row, send))
        if why_not:
            unsent += 1
            notes.append(f"The event {row.event} of {row.date} was not sent ({why_not}); the next run sends it.")

    unhandled, void = to_send(project, champion)
    notes += void
    for row in unhandled:
        act(row)
    champion = project.registry.champion()  # an earlier run's rollback may have been carried out just now
    if not _has_reference(champion):
        notes.append(
            f"Version {champion.number} has no reference to compare days with: it was trained before there was "
            "monitoring, or without. Train and promote another: har train."
        )
        return _ended(champion, done, unsent=unsent, notes=notes)
    due, waiting = due_days(project, champion, date, again=again)
    notes += waiting
    days: list[DayReport] = []
    for day in due:
        report = once(each, watch, DayPart(project, champion, day))
        days.append(report)
        row = once(each, settle, DecisionPart(project, champion, report, automatic))
        console.print(f"{day}: {report.verdict} [dim]→ {row.action}[/]", highlight=False)
        if row.event and row.emitted_at is None:
            act(row)
        else:
            done.append(row)
        if row.action == "rollback" and project.registry.champion().number != champion.number:
            # The days after it were seen by the version that was taken back.
            break
    index = _write_pages(project)
    return _ended(project.registry.champion(), done, days=days, unsent=unsent, index=index, notes=notes)


def watch(part: DayPart) -> DayReport:
    """Compare a day with the champion's reference, and store the report."""
    project, version, date = part.project, part.version, part.date
    settings, lake = project.settings, project.lake
    days = subject_days(lake, date)
    split = project.registry.recipe(version.number)["split"]
    report = watch_day(
        date,
        version.number,
        _reference(project, version.number),
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


def settle(part: DecisionPart) -> DecisionRow:
    """Decide what is to be done about a day, and store the decision; what it asks for comes after that."""
    project, version, report = part.project, part.version, part.report
    settings, lake = project.settings, project.lake
    facts = gather_facts(
        lake,
        settings,
        report,
        recipe=project.registry.recipe(version.number),
        automatic=part.automatic,
        probation=watch_probation(lake, settings, project.registry, report),
    )
    decision = decide(report, facts, settings.retraining)
    note_decision(lake, decision, version.number)
    if decision.action == "ask":
        ask(lake, settings, (report.since or report.date, report.date), decision.id)
    return stored_decision(lake, decision.id)


def carry_out(part: ActionPart) -> str:
    """Do what a decision asks for and send its event; "", or why it did not arrive."""
    project, row, send = part.project, part.row, part.send
    outcome = "announced"
    if row.action == "rollback":
        outcome, why_not = _roll_back(project, row, send)
        if why_not:
            return why_not
    why_not = send(of_decision(project.settings.project.name, row))
    if why_not:
        return why_not
    now = dt.datetime.now(dt.UTC)
    if row.event in STARTS_TRAINING:
        mark(project.lake, [row], emitted_at=now)
    else:
        mark(project.lake, [row], emitted_at=now, handled_at=now, outcome=outcome)
    return ""


def _ended(
    champion: Version,
    done: Sequence[DecisionRow] = (),
    *,
    days: Sequence[DayReport] = (),
    unsent: int = 0,
    index: Path | None = None,
    notes: Sequence[str] = (),
) -> MonitorReport:
    for note in notes:
        console.print(f"[yellow]{escape(note)}[/]", highlight=False)
    return MonitorReport(champion.number, tuple(days), tuple(done), unsent, index, tuple(notes))


def _has_reference(version: Version) -> bool:
    return any(name.endswith(REFERENCE) for name in version.tags)


@lru_cache(maxsize=2)
def _reference(project: Project, version: int) -> Reference:
    return Reference.read(project.registry.artifact(version, REFERENCE))


def _roll_back(project: Project, row: DecisionRow, send: Send) -> tuple[str, str]:
    """Let the former champion serve again: the outcome, and why the news did not arrive ("" if it did).

    A run that was killed may have done so already; then only the news is repeated, so that its bentos are served.
    """
    registry = project.registry
    if registry.champion().number == row.payload["version"]:
        registry.rollback(reason=" ".join(row.reasons), who=f"monitor ({whoami()})")
    number = registry.champion().number
    return f"version {number} serves again", send(promotion(number))


def _write_pages(project: Project) -> Path | None:
    every = reports(project.lake)
    if not every:
        return None
    folder, title = project.settings.path("reports"), project.settings.project.name
    index = write_pages(folder, every, decisions(project.lake), project.registry.log(), title=title)
    write_index(folder, title=title)
    return index
