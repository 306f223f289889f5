"""Drift: judge scored days."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from har_cli._shared import Date, ViaPrefect, day, out, run, sender, trainings_start_themselves


def monitor(
    date: Date = None,
    again: Annotated[bool, typer.Option(help="Also days that were judged before.")] = False,
    via_prefect: ViaPrefect = False,
) -> None:
    """Compare scored days with what the champion was trained on; report, decide, and say so."""

    def job() -> object:
        from har.jobs.monitor import monitor
        from har.project import open_project

        project = open_project()
        return monitor(
            project,
            date=day(date),
            again=again,
            send=sender(project.settings),
            automatic=trainings_start_themselves(project.settings),
        )

    def flow() -> object:
        from flows.monitor import monitor

        return monitor(date=day(date), again=again)

    report = run(job, flow, via_prefect=via_prefect)
    table = Table("day", "subjects", "score", "verdict", title=f"Days against version {report.model_version}")
    for one in report.days:
        score = f"{one.score:.2f}" if one.judged else "-"
        table.add_row(str(one.date), str(one.subjects), f"[red]{score}[/]" if one.alarmed else score, one.verdict)
    if report.days:
        out.print(table)
    else:
        out.print("Nothing to monitor: every scored day has been judged or is not over yet.")
    for row in report.decisions:
        out.print(f"{row.date}: {row.action}. {' '.join(row.reasons)}", highlight=False, markup=False)
        if row.action == "retrain" and row.handled_at is None:
            out.print(f"  `make up` trains for it; by hand: har train --decision {row.decision_id}", highlight=False)
    if report.index:
        out.print(f"Page: {report.index}")
