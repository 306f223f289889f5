"""Commands about what the stream knows of each subject: the hot store, the history, baselines."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from har_cli._shared import out

if TYPE_CHECKING:
    from har.project import Project


def rebuild(
    clear: Annotated[bool, typer.Option("--clear", help="Empty the store first.")] = False,
) -> None:
    """Fill the hot store from the lake: last answers, today's minutes, devices and baselines.

    A consumer may run meanwhile: a state that is newer than the lake's stays.
    """
    from har.jobs.rebuild import rebuild as job
    from har.project import open_project

    report = job(open_project(), clear=clear)
    out.print(
        f"The hot store has {report.subjects} subjects with {report.answers} answers of the lake, and the baselines of "
        f"{report.baselines}.",
        highlight=False,
    )
    if report.newer:
        out.print(f"The state of {report.newer} subjects was newer than the lake's, and stays.", highlight=False)


def history() -> None:
    """Make the history ready in Postgres, drop what is too old, and show what it holds."""
    from har.errors import SettingsError
    from har.settings import load_settings
    from har.streaming.history import open_history

    settings = load_settings()
    found = open_history(settings)
    if found is None:
        raise SettingsError(
            where="stream.history.address",
            expected="the address of a Postgres database",
            got="none, so that no history is written",
            remedy="Set it in har.toml: docs/how-to/stream-state.md describes the database that it needs.",
        )
    try:
        dropped = found.look_after(now=True)
        state = found.state()
    finally:
        found.close()
    if dropped:
        out.print(f"{len(dropped)} days older than stream.history.keep_days were dropped.", highlight=False)
    out.print(
        f"Partitions of {state.days} days, {state.first} to {state.last}, with about {state.rows:,} rows in "
        f"{state.size_bytes / 1e6:,.1f} MB.",
        highlight=False,
    )
    newest = state.newest.astimezone(settings.project.zone).isoformat(" ", "seconds") if state.newest else "none yet"
    out.print(f"Newest window: {newest}.", highlight=False)


def baselines(
    subject: Annotated[str | None, typer.Argument(help="Whose; by default the newest ones are written.")] = None,
    at: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="As it was known on this date, of days before; by default today."),
    ] = None,
) -> None:
    """Show what is usual for a subject; without one, write the baselines of days with newer predictions."""
    from har.project import open_project

    project = open_project()
    if subject is None:
        from har.jobs.baseline import baseline as job

        report = job(project)
        out.print(
            f"{report.rows} baselines written, of {report.days} days with newer predictions; the hot store has those "
            f"of {report.subjects} subjects.",
            highlight=False,
        )
        return
    _show(project, subject, at.date() if at else dt.datetime.now(project.settings.project.zone).date())


def _show(project: Project, subject: str, date: dt.date) -> None:
    import polars as pl

    from har.errors import NotEnoughDataError, did_you_mean
    from har.streaming.baselines import as_of

    lake = project.lake
    (found,) = as_of(lake, pl.DataFrame({"subject": [subject], "date": [date]})).iter_rows(named=True)
    if found["baseline_date"] is None:
        known = lake.baselines.read(columns=["subject"])["subject"].unique()
        raise NotEnoughDataError(
            where=f"har baselines {subject} --at {date}",
            expected="a scored day of this subject before that date",
            got="none",
            remedy=did_you_mean(subject, known) or "Score its recordings with `har score`, then run `har baselines`.",
        )
    table = Table("feature", "value", title=f"{escape(subject)}, as known on {date}")
    for name, value in found.items():
        if name not in ("subject", "date", "baseline_date", "baseline_days") and value is not None:
            table.add_row(escape(name), f"{value:.3f}")
    out.print(table)
    out.print(
        f"Of {found['baseline_days']} days with measurements, the newest {found['baseline_date']}.", highlight=False
    )
