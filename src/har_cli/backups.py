"""Commands about backups: make one, bring one back."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from har_cli._shared import home, out


class Whose(StrEnum):
    """Which settings hold after a restore, where they differ."""

    SAME = "same"
    BACKUP = "backup"
    HERE = "here"


def backup(
    target: Annotated[
        Path, typer.Argument(help="A new file, or a folder for <project>-<time>.tar.", show_default=False)
    ],
    recordings: Annotated[
        bool, typer.Option("--recordings/--without-recordings", help="The inbox and the quarantine, too.")
    ] = True,
    bentos: Annotated[
        bool, typer.Option("--bentos", help="The packaged models, too; `har package` makes them.")
    ] = False,
    database: Annotated[
        bool,
        typer.Option(
            "--database/--without-database", help="The registry's database, too: SQLite, or Postgres by pg_dump."
        ),
    ] = True,
) -> None:
    """Copy all data of the project into one file, while everything runs; `har restore` brings it back."""
    from har.jobs.backup import backup as job
    from har.project import open_project

    report = job(open_project(), target, recordings=recordings, bentos=bentos, database=database)
    for part, (count, size) in report.contents.parts().items():
        out.print(f"  {part}: {count} files, {size / 1e6:.1f} MB", highlight=False)
    for note in report.contents.notes:
        out.print(f"  {note}", highlight=False)
    out.print(
        f"{report.path}: {report.path.stat().st_size / 1e6:.1f} MB in {report.seconds:.1f} s; writers were held for "
        f"{report.held_s:.2f} s.",
        highlight=False,
        soft_wrap=True,
    )


def restore(
    path: Annotated[Path, typer.Argument(help="A file that `har backup` wrote.", metavar="FILE", show_default=False)],
    settings: Annotated[
        Whose, typer.Option(help="If har.toml differs: take the one of the backup, or keep the one that is here.")
    ] = Whose.SAME,
) -> None:
    """Bring a backup back into a project without data, and check it. Ends with 1 if something is missing then."""
    from har.jobs.check import check
    from har.jobs.restore import restore as job
    from har.project import open_project
    from har.settings import load_settings
    from infra.local.server import hold_home

    known = load_settings()
    with hold_home(home(known)):  # `make up` must not run, nor start meanwhile
        report = job(known, path, whose=settings.value)
    for part, place in report.places.items():
        out.print(f"  {part}: {place}", highlight=False, soft_wrap=True)
    for note in report.contents.notes:
        out.print(f"  {note}", highlight=False)
    checked = check(open_project(known.root))
    for finding in checked.findings:
        out.print(f"{finding.problem}\n  {finding.remedy}", highlight=False, markup=False, soft_wrap=True)
    out.print(
        f"Restored {len(report.contents.files)} files of {report.contents.made_at} in {report.seconds:.1f} s: "
        f"{checked.partitions} subject-days, {checked.versions} registered versions.",
        highlight=False,
        soft_wrap=True,
    )
    if checked.findings:
        raise typer.Exit(1)
