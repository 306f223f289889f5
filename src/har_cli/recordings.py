"""Commands about recordings: replay the sample, ingest the inbox."""

from __future__ import annotations

from typing import Annotated

import typer

from har.settings import load_settings
from har_cli._shared import Date, ViaPrefect, day, end_unless, out, run


def replay() -> None:
    """Write the embedded recordings to the inbox, as if they were uploaded daily."""
    from har.sample import replay as write

    settings = load_settings()
    report = write(settings.path("inbox"), settings)
    out.print(f"{report.written} files written, {report.present} there already: {settings.path('inbox')}")


def ingest(
    date: Date = None,
    replace: Annotated[
        bool,
        typer.Option(
            help="Replace sessions that were ingested with other content; read again what an older release ingested."
        ),
    ] = False,
    via_prefect: ViaPrefect = False,
) -> None:
    """Read the inbox into the lake; bad files go to quarantine. Exit code 3: some were quarantined or skipped."""

    def job() -> object:
        from har.jobs.ingest import ingest
        from har.project import open_project

        return ingest(open_project(), date=day(date), replace=replace)

    def flow() -> object:
        from flows.ingest import ingest

        return ingest(date=day(date), replace=replace)

    report = run(job, flow, via_prefect=via_prefect)
    out.print(report.summary, highlight=False, soft_wrap=True)
    end_unless(report.complete)
