"""Commands about predictions: score the lake, collect the online service's log."""

from __future__ import annotations

from typing import Annotated

import typer

from har_cli._shared import Date, ViaPrefect, day, end_unless, out, run


def score(
    date: Date = None,
    rescore: Annotated[bool, typer.Option(help="Also score recordings again that another version scored.")] = False,
    via_prefect: ViaPrefect = False,
) -> None:
    """Score new recordings with the champion, and write each day's activity summary."""

    def job() -> object:
        from bentos.batch.client import connect
        from har.jobs.score import score
        from har.project import open_project

        return score(open_project(), date=day(date), rescore=rescore, connect=connect)

    def flow() -> object:
        from flows.score import score

        return score(date=day(date), rescore=rescore)

    report = run(job, flow, via_prefect=via_prefect)
    if not report.partitions:
        of = f" of {day(date)}" if date else ""
        out.print(f"Nothing to score: the lake has no recordings{of} that were not scored before.")
        if not rescore:
            out.print("To score the others again with this champion: har score --rescore.")
        return
    out.print(
        f"{report.windows} windows of {report.partitions} subject-days scored by version {report.model_version} "
        f"in {report.seconds:.1f} s."
    )
    if report.without_signal:
        out.print(
            f"[yellow]{report.without_signal} windows have no signal:[/] a sensor was off, stuck or at its limit. "
            "They are no activity.",
            highlight=False,
        )


def collect(via_prefect: ViaPrefect = False) -> None:
    """Read the online service's predictions and feedback into the lake; bad lines are set aside."""

    def job() -> object:
        from har.jobs.collect import collect
        from har.project import open_project

        return collect(open_project())

    def flow() -> object:
        from flows.collect import collect

        return collect()

    report = run(job, flow, via_prefect=via_prefect)
    out.print(
        f"{report.requests} windows and {report.labels} labels of {report.files} log files collected, "
        f"{len(report.bad)} bad lines, {report.torn} incomplete ones."
    )
    if report.open:
        out.print(f"{report.open} files are still being written; the next run takes the rest.")
    if report.waiting:
        out.print(f"{report.waiting} labels wait for the windows that they are about.")
    if report.answers or report.reviewed:
        out.print(f"{report.answers} labels are new from the page /label; {report.reviewed} were decided anew.")
    if report.labels:
        out.print("Feedback counts in full once a person has accepted it: har labels --feedback")
    if report.unmatched:
        out.print(f"[yellow]{report.unmatched} answers of the shadow model[/] have no request in the lake.")
    end_unless(not report.bad)
