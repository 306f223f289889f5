"""Judge scored days: write a drift report, decide, send the decision's event. Each is stored before the next step.

After a run that was killed, the next one continues: it judges a day without a decision again, and sends an event that
nobody has handled again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from har.console import console
from har.engine import Each, in_turn, once
from har.errors import HarError
from har.jobs._due import due_days, stored_decision, to_send, why_no_day_is_due
from har.jobs._events import Send, decision_event, no_receiver, promotion_event
from har.jobs._reference import has_reference, reference_of_version
from har.jobs.label_page import prepare_tasks
from har.lake import require_predictions
from har.monitoring import DecisionLog, DriftReports, MonitoredDays, Profiles
from har.monitoring.decisions import (
    STARTS_TRAINING,
    DecisionRow,
    decide,
    gather_facts,
    measure_performance,
    request_labels,
    watch_probation,
)
from har.monitoring.drift import DayReport, OwnHistory, watch_day
from har.monitoring.profiles import quality_alarms
from har.pages import write_index, write_pages
from har.project import Project
from har.registry import Version, whoami


@dataclass(frozen=True)
class MonitorReport:
    """The result of `monitor`.

    Attributes:
        model_version: the champion at the end of the run.
        days: the new reports.
        decisions: the decisions of this run, and those of earlier runs that it carried out.
        unsent: number of decisions whose event was not received; the next run sends it.
        index: the page with links to all reports; None: there are none.
        notes: sentences for the user.
        idle: why no day was judged; "": days were, or a note says why not.
    """

    model_version: int
    days: tuple[DayReport, ...]
    decisions: tuple[DecisionRow, ...]
    unsent: int
    index: Path | None
    notes: tuple[str, ...] = ()
    idle: str = ""


@dataclass(frozen=True)
class DayPart:
    """A day to compare with a version's reference."""

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
    """A decision to carry out, and the function that sends its event."""

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
    send: Send = no_receiver,
    automatic: bool = True,
) -> MonitorReport:
    """Write a report on every day with new data, oldest first, decide by the policy, and carry the decisions out.

    A day is judged if it is over, the champion was not trained on it, and it has no decision yet or has got more data
    since; the newest day also if its decision waits for labels and some have arrived. A day that is judged again keeps
    its earlier decisions in the log, and gets a new one only if the decision changes.

    Args:
        project: its champion and lake.
        date: this day only, even if it is not over or the champion was trained on it.
        again: also days that were judged before.
        each: how to run the steps of a day.
        send: sends events.
        automatic: whether retraining may start without a person.

    Raises:
        NoChampionError: there is no champion yet.
        NotEnoughDataError: the champion has not scored `date`.
    """
    champion = project.registry.champion()
    if not project.settings.monitoring.enabled:
        return _finished(champion, notes=["Monitoring is switched off: monitoring.enabled in har.toml."])
    require_predictions(project.lake)
    for table in (project.lake.labels, project.lake.requests, project.lake.decisions):
        table.require_all_commits()
    notes: list[str] = []
    unsent = 0
    handled: list[DecisionRow] = []

    def act(row: DecisionRow) -> None:
        nonlocal unsent
        handled.append(row)
        why_not = once(each, carry_out, ActionPart(project, row, send))
        if why_not:
            unsent += 1
            notes.append(f"The event {row.event} of {row.date} was not sent ({why_not}); the next run sends it.")

    unhandled, given_up = to_send(project, champion)
    notes += given_up
    for row in unhandled:
        act(row)
    champion = project.registry.champion()  # a rollback may have just been carried out
    if not has_reference(champion):
        notes.append(
            f"Version {champion.number} has no reference to compare days with, because it was trained without "
            "monitoring. Train and promote another version: har train."
        )
        return _finished(champion, handled, unsent=unsent, notes=notes)
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
            handled.append(row)
        if row.action == "rollback" and project.registry.champion().number != champion.number:
            # The following days were scored by the version that no longer serves.
            break
    notes += once(each, show_requests, project)
    index = _write_pages(project)
    idle = "" if due or waiting else why_no_day_is_due(project, champion)
    champion = project.registry.champion()
    return _finished(champion, handled, days=days, unsent=unsent, index=index, notes=notes, idle=idle)


def watch(part: DayPart) -> DayReport:
    """Compare a day with the champion's reference and its subjects' own histories; store the report."""
    project, version, date = part.project, part.version, part.date
    settings, lake = project.settings, project.lake
    days = Profiles(lake).of_day(date)
    split = project.registry.recipe(version.number).sides
    histories = OwnHistory(lake)
    own = histories.of({day.subject for day in days}, version.number)
    report = watch_day(
        date,
        version.number,
        reference_of_version(project, version.number),
        days,
        DriftReports(lake).judged_before(date, version.number, settings.drift.of_days),
        settings.drift,
        own=own,
        performance=measure_performance(
            lake,
            settings,
            date=date,
            model_version=version.number,
            expected=version.metrics["accuracy"],
            seen={*split.train, *split.validation},
        ),
        quality=quality_alarms(days),
    )
    # Before the report: a run that is killed in between judges the day again, by the days before it.
    histories.learn(report, days, own, settings.drift)
    DriftReports(lake).store(report)
    return report


def settle(part: DecisionPart) -> DecisionRow:
    """Decide what to do about a day and store the decision; it is carried out later."""
    project, version, report = part.project, part.version, part.report
    settings, lake = project.settings, project.lake
    facts = gather_facts(
        lake,
        settings,
        report,
        recipe=project.registry.recipe(version.number).to_json(),
        automatic=part.automatic,
        probation=watch_probation(lake, settings, project.registry, report),
        learned=_learned(version),
    )
    decision = decide(report, facts, settings.retraining)
    DecisionLog(lake).add(decision, version.number)
    if decision.action == "ask":
        request_labels(lake, settings, (report.since or report.date, report.date), decision.id)
    return stored_decision(lake, decision.id)


def show_requests(project: Project) -> list[str]:
    """Let the page `/label` show the windows that labels are wanted for; returns a note if it cannot."""
    if not project.lake.label_requests.partitions():
        return []
    try:
        prepare_tasks(project)
    except HarError as error:  # the decisions of the day do not depend on a page
        return [f"The page /label still shows its former tasks: {error}"]
    return []


def carry_out(part: ActionPart) -> str:
    """Carry out a decision and send its event; returns "", or the reason why the event was not received."""
    project, row, send = part.project, part.row, part.send
    outcome = "announced"
    if row.action == "rollback":
        outcome, why_not = _roll_back(project, row, send)
        if why_not:
            return why_not
    why_not = send(decision_event(project.settings.project.name, row))
    if why_not:
        return why_not
    now = dt.datetime.now(dt.UTC)
    if row.event in STARTS_TRAINING:
        DecisionLog(project.lake).mark([row], emitted_at=now)
    else:
        DecisionLog(project.lake).mark([row], emitted_at=now, handled_at=now, outcome=outcome)
    return ""


def _finished(
    champion: Version,
    handled: Sequence[DecisionRow] = (),
    *,
    days: Sequence[DayReport] = (),
    unsent: int = 0,
    index: Path | None = None,
    notes: Sequence[str] = (),
    idle: str = "",
) -> MonitorReport:
    for note in notes:
        console.print(f"[yellow]{escape(note)}[/]", highlight=False)
    return MonitorReport(champion.number, tuple(days), tuple(handled), unsent, index, tuple(notes), idle)


def _learned(version: Version) -> int | None:
    """Labelled windows that a version was trained, calibrated and judged on; None if it does not say."""
    counts = [version.metrics.get(name) for name in ("windows_trained", "windows_calibrated", "windows")]
    return None if None in counts else int(sum(count for count in counts if count is not None))


def _roll_back(project: Project, row: DecisionRow, send: Send) -> tuple[str, str]:
    """Roll back to the previous champion; returns the outcome, and "" or the reason why its event was not received.

    A run that was killed may have rolled back already; then only the event is sent again, so that bentos are built.
    """
    registry = project.registry
    if registry.champion().number == row.payload["version"]:
        registry.rollback(reason=" ".join(row.reasons), who=f"monitor ({whoami()})")
    number = registry.champion().number
    return f"version {number} serves again", send(promotion_event(number, back=True))


def _write_pages(project: Project) -> Path | None:
    days = MonitoredDays(project.lake)
    if not days.marks():
        return None
    folder, title = project.settings.path("reports"), project.settings.project.name
    index = write_pages(folder, days, project.registry.log(), title=title)
    write_index(folder, title=title)
    return index
