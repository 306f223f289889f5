"""Commands about drift: monitor scored days."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from har_cli._shared import Date, ViaPrefect, automatic_retraining, day, out, run, sender


def monitor(
    date: Date = None,
    again: Annotated[bool, typer.Option(help="Also judge days again that were judged before.")] = False,
    via_prefect: ViaPrefect = False,
) -> None:
    """Compare scored days with the champion's training data; write reports and decide what to do."""

    def job() -> object:
        from har.jobs.monitor import monitor
        from har.project import open_project

        project = open_project()
        return monitor(
            project,
            date=day(date),
            again=again,
            send=sender(project.settings),
            automatic=automatic_retraining(project.settings),
        )

    def flow() -> object:
        from flows.monitor import monitor

        return monitor(date=day(date), again=again)

    report = run(job, flow, via_prefect=via_prefect)
    table = Table("day", "subjects", "score", "verdict", title=f"Days against version {report.model_version}")
    for found in report.days:
        score = f"{found.score:.2f}" if found.judged else "-"
        coloured = f"[red]{score}[/]" if found.alarmed else score
        table.add_row(str(found.date), str(found.subjects), coloured, found.verdict)
    if report.days:
        out.print(table)
    elif report.idle:
        out.print(f"Nothing to monitor: {report.idle}", highlight=False, markup=False)
    for row in report.decisions:
        out.print(f"{row.date}: {row.action}. {' '.join(row.reasons)}", highlight=False, markup=False)
        if row.action == "retrain" and row.handled_at is None:
            out.print(f"  `make up` starts it; by hand: har train --decision {row.decision_id}", highlight=False)
    if report.index:
        out.print(f"Page: {report.index}")
