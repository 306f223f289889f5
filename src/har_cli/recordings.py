"""Commands about recordings: replay the sample, ingest the inbox, list what the lake has."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from har.settings import load_settings
from har_cli._shared import Date, ViaPrefect, day, end_unless, out, run

if TYPE_CHECKING:
    from har.jobs.find_gaps import Gaps
    from har.project import Project

_LISTED = 50


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


def list_recordings(
    date: Date = None,
    subject: Annotated[str | None, typer.Option(help="This subject only; by default all.")] = None,
    gaps: Annotated[bool, typer.Option("--gaps", help="List the longest gaps, with start and end.")] = False,
    longest: Annotated[int, typer.Option(min=1, max=10_000, help="How many gaps to list.")] = 20,
) -> None:
    """List the recordings in the lake: gaps, sleep of the device, non-wear, and how far it is off 1 g at rest."""
    import polars as pl

    from har.project import open_project

    project = open_project()
    rows = project.lake.recordings.read()
    if date is not None:
        rows = rows.filter(pl.col("date") == day(date))
    if subject is not None:
        rows = rows.filter(pl.col("subject") == subject)
    if rows.is_empty():
        out.print("The lake has no such recording: see `har ingest`.")
        return
    rows = rows.sort("date", "subject", "session")
    table = Table(
        "date", "subject", "session", "device", "hours", "gaps", "asleep", "not worn", "off 1 g at rest", "notes"
    )
    for column in table.columns[:4]:
        column.overflow = "fold"  # a name that is cut is of no use
    for row in rows.tail(_LISTED).iter_rows(named=True):
        table.add_row(*_cells(row, project))
    out.print(table)
    if len(rows) > _LISTED:
        out.print(
            f"… the last {_LISTED} of {len(rows)} recordings; --date and --subject choose others.", highlight=False
        )
    if gaps:
        from har.jobs.find_gaps import find_gaps

        wanted = sorted(set(rows.select("date", "subject").iter_rows()))
        _print_gaps(find_gaps(project, wanted, most=longest), project)


def _cells(row: dict[str, Any], project: Project) -> list[str]:
    from har_cli._wear import span

    longest = f"{row['gaps']:,}, up to {span(row['longest_gap_s'])}" if row["gaps"] else "none"
    off = "unknown" if row["calibration_error_mg"] is None else f"{row['calibration_error_mg']:.1f} mg"
    if row["calibrated"]:
        off = f"{row['calibrated_error_mg']:.1f} mg (calibrated, was {off})"
    elif row["calibrated_error_mg"] is not None:
        off += f" ({row['calibrated_error_mg']:.1f} if calibrated)"
    return [
        str(row["date"]),
        escape(row["subject"] or ""),
        escape(row["session"]),
        escape(row["device"] or "unknown"),
        f"{row['samples'] / project.settings.sensors.rate_hz / 3600:.2f}",
        longest,
        _length(row["idle_s"]),
        _length(row["nonwear_s"]),
        off,
        str(len(row["notes"] or [])),
    ]


def _length(seconds: float | None) -> str:
    from har_cli._wear import span

    if seconds is None:
        return "unknown"
    return span(seconds) if seconds else "none"


def _print_gaps(found: Gaps, project: Project) -> None:
    from har_cli._wear import span

    zone = project.settings.project.zone

    def shown(moment: dt.datetime) -> str:
        return moment.astimezone(zone).isoformat(" ", "milliseconds")

    limit = project.settings.recordings.max_gap_s
    word = "gap" if found.count == 1 else "gaps"
    out.print(f"{found.count:,} {word} longer than {limit:g} s, {span(found.seconds)} in all.", highlight=False)
    if not found.count:
        return
    table = Table("date", "subject", "session", "from", "to", "seconds", title=f"The {len(found.longest)} longest gaps")
    for gap in found.longest:
        name = [str(gap.date), escape(gap.subject), escape(gap.session)]
        table.add_row(*name, shown(gap.start), shown(gap.end), f"{gap.seconds:.3f}")
    out.print(table)
