"""The demo's second act: after ten normal days the watch is worn turned, and the model is retrained automatically.

Only the subjects are simulated: they wear the watch and, when labels are requested, give the exercise log of the
drifted days. Monitoring detects the drift, a deployment trains, the gate decides, another deployment packages.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Sequence
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from flows._events import sender
from har.console import console
from har.errors import ServerError
from har.files import write_atomically
from har.jobs.ingest import ingest
from har.jobs.label import add_labels
from har.jobs.monitor import monitor
from har.jobs.package import TAGS
from har.jobs.score import score
from har.pages import LoopDay, loop_table, render_loop, write_index
from har.predictions import with_signal
from har.project import Project
from har.sample import FIRST_DAY, replay_round
from har_cli.demo._runs import POLL_S, WAIT_S, worker_log

FIRST = FIRST_DAY + dt.timedelta(days=7)
"""The day after the week of the first act."""
GOOD_DAYS = 10
DRIFTED_DAYS_AT_MOST = 4
DAYS_AFTER = 3


def run_second_act(project: Project) -> dict[str, Any]:
    """Simulate the days, print accuracy and drift per day, write reports/loop.html and loop.json; returns the figures.

    Args:
        project: has a champion; a worker must run its deployments.

    Raises:
        ServerError: the retraining or the packaging did not finish in time.
    """
    simulation = _Simulation(project)
    good = [FIRST + dt.timedelta(days=number) for number in range(GOOD_DAYS)]
    simulation.run(good)
    for day in _following(good[-1], DRIFTED_DAYS_AT_MOST):
        simulation.run([day], turned=True)
        if simulation.labels_requested(day):
            simulation.add_labels(day)
        decided = simulation.retraining()
        if decided is not None and decided["date"] <= day:
            break
    if simulation.retraining() is None:
        console.print("The turned watch did not lead to a retraining; see the drift reports.")
    else:
        simulation.await_champion()
    for day in _following(simulation.days[-1], DAYS_AFTER):
        simulation.run([day], turned=True)
    return simulation.report()


def retrained(figures: dict[str, Any]) -> str:
    """The outcome of the retraining, in a few words."""
    if figures["loop_accuracy_after"]:
        return (
            f"version {figures['loop_model_version']} after {figures['loop_retraining_s']:.0f} s; accuracy back to "
            f"{figures['loop_accuracy_after']:.1%}"
        )
    return "no: drift was not confirmed" if not figures["loop_days_to_alarm"] else "yes, but the gate kept the champion"


def _following(day: dt.date, count: int) -> list[dt.date]:
    return [day + dt.timedelta(days=number) for number in range(1, count + 1)]


class _Simulation:
    """The simulated days: recordings with their true activities, and the results."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._send = sender(project.settings)
        self.days: list[dt.date] = []
        self.turned: list[dt.date] = []
        self._truth: list[pl.DataFrame] = []
        first = min(version.number for version in project.registry.versions())
        self._held_out = project.registry.recipe(first).split["held_out"]
        self._waited_s = 0.0

    def run(self, days: Sequence[dt.date], *, turned: bool = False) -> None:
        """Upload the recordings of these days; ingest, score and monitor them, as the nightly jobs do."""
        settings = self.project.settings
        for day in days:
            self._truth.append(replay_round(settings.path("inbox"), settings, day, turned=turned))
        self.days.extend(days)
        if turned:
            self.turned.extend(days)
        ingest(self.project)
        score(self.project)
        monitor(self.project, send=self._send)

    def labels_requested(self, day: dt.date) -> bool:
        """Whether monitoring requested labels on this day."""
        return not self._decisions().filter((pl.col("action") == "ask") & (pl.col("date") == day)).is_empty()

    def add_labels(self, day: dt.date) -> None:
        """Add the exercise log of the drifted days as labels, and monitor the last of them again."""
        # A label's end is exclusive: one period after the last sample.
        period = pl.duration(microseconds=round(1e6 / self.project.settings.sensors.rate_hz))
        log = pl.concat(self._truth[-len(self.turned) :]).with_columns(pl.col("end") + period)
        added = add_labels(self.project.lake, log)
        if added:
            console.print(f"{day}: labels were requested; the exercise log of the days with the turned watch is added.")
            monitor(self.project, date=day, again=True, send=self._send)

    def retraining(self) -> dict[str, Any] | None:
        """The decision to retrain, if there is one."""
        rows = self._decisions().filter(pl.col("action") == "retrain").sort("date", "decided_at")
        return rows.row(0, named=True) if len(rows) else None

    def await_champion(self) -> None:
        """Wait until the deployments have trained, compared and packaged the model."""
        began = time.monotonic()
        version = "nothing"
        with console.status("") as status:
            while time.monotonic() - began < WAIT_S:
                decision = self.retraining()
                champion = self.project.champion
                packaged = champion is not None and all(name in champion.tags for name in TAGS)
                version = f"version {champion.number}" if champion else "no champion"
                if decision is not None and decision["handled_at"] is not None and packaged:
                    self._waited_s = time.monotonic() - began
                    return
                handled = decision is not None and decision["handled_at"] is not None
                running = "package/champion builds the bentos" if handled else "train/retrain runs"
                status.update(f"Started by an event: {running} …")
                time.sleep(POLL_S)
        raise ServerError(
            where="second act",
            expected=f"a retrained and packaged champion within {WAIT_S:g} s",
            got=f"{version}; decisions: {self._decisions().select('date', 'action', 'outcome').rows()}",
            remedy=f"See {worker_log(self.project)}.",
        )

    def report(self) -> dict[str, Any]:
        """Print accuracy and drift per day, write them as a page and as JSON; returns the figures."""
        rows = self._rows()
        settings = self.project.settings
        reports = settings.path("reports")
        page = write_atomically(reports / "loop.html", render_loop(rows, title=f"{settings.project.name}: the loop"))
        write_index(reports, title=settings.project.name)
        table = Table(title="Held-out subjects, day by day", title_justify="left")
        header, *body = loop_table(rows)
        for heading in header:
            table.add_column(heading)
        for row in body:
            table.add_row(*row)
        Console().print(table)
        console.print(f"As a chart: {page}")
        figures = self._figures(rows)
        days = [{**vars(row), "date": row.date.isoformat(), "events": list(row.events)} for row in rows]
        write_atomically(reports / "loop.json", json.dumps({"figures": figures, "days": days}, indent=1))
        return figures

    def _rows(self) -> list[LoopDay]:
        accuracy = self._accuracy()
        lake = self.project.lake
        reports = {row["date"]: row for row in lake.drift.read().iter_rows(named=True)}
        decisions = self._decisions()
        versions = dict(
            lake.predictions.scan()
            .filter(pl.col("request_id").is_null())
            .group_by("date")
            .agg(pl.col("model_version").max())
            .collect()
            .iter_rows()
        )
        rows = []
        before = versions.get(self.days[0], 0)
        for day in self.days:
            events = [
                row["action"]
                for row in decisions.filter(pl.col("date") == day).sort("decided_at").iter_rows(named=True)
            ]
            version = versions.get(day, 0)
            if version != before:
                events.insert(0, f"version {version} serves")
            before = version
            report = reports.get(day)
            rows.append(
                LoopDay(
                    date=day,
                    accuracy=accuracy.get(day),
                    score=report["score"] if report else None,
                    alarmed=bool(report and report["alarmed"]),
                    model_version=version,
                    events=tuple(event for event in events if event != "nothing"),
                    phase="turned" if day in self.turned else "good",
                )
            )
        return rows

    def _accuracy(self) -> dict[dt.date, float]:
        """Accuracy per day on windows of subjects that no model was trained on."""
        true = pl.concat(self._truth).filter(pl.col("subject").is_in(self._held_out)).sort("start")
        lake = self.project.lake
        answers = (
            lake.predictions.scan()
            .filter(pl.col("request_id").is_null() & pl.col("subject").is_in(self._held_out))
            .filter(pl.col("date").is_in(self.days))
            .collect()
            .pipe(with_signal)
            .sort("start")
        )
        joined = answers.join_asof(
            true, on="start", by=["subject", "session"], strategy="backward", suffix="_true", check_sortedness=False
        )
        right = (pl.col("activity") == pl.col("activity_true")).mean()
        return dict(joined.group_by("date").agg(right).sort("date").iter_rows())

    def _figures(self, rows: Sequence[LoopDay]) -> dict[str, Any]:
        known = [(row, row.accuracy) for row in rows if row.accuracy is not None]
        first = rows[0].model_version
        before = [accuracy for row, accuracy in known if row.phase == "good"]
        during = [accuracy for row, accuracy in known if row.phase == "turned" and row.model_version == first]
        after = [accuracy for row, accuracy in known if row.phase == "turned" and row.model_version != first]
        confirmed = next((row.date for row in rows if "ask" in row.events or "retrain" in row.events), None)
        return {
            "loop_accuracy_before": _mean(before),
            "loop_accuracy_turned": _mean(during),
            "loop_accuracy_after": _mean(after),
            "loop_false_alarms": sum(row.alarmed for row in rows if row.phase == "good"),
            "loop_days_to_alarm": (confirmed - self.turned[0]).days + 1 if confirmed else 0,
            "loop_model_version": rows[-1].model_version,
            "loop_retraining_s": round(self._waited_s, 1),
        }

    def _decisions(self) -> pl.DataFrame:
        return self.project.lake.decisions.read()


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0
