"""`har export`: labelled samples of the lake as files that other tools read."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from har.errors import SettingsError, did_you_mean
from har_cli._shared import day, out


def export(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help="edge-impulse.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the files.")],
    subject: Annotated[list[str] | None, typer.Option(help="Only this subject; may be given several times.")] = None,
    since: Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The first date.")] = None,
    until: Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last date.")] = None,
    seconds: Annotated[float, typer.Option(help="The longest file.")] = 60.0,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="Also samples without a label.")] = False,
) -> None:
    """Write labelled samples of the lake for other tools: Edge Impulse's data acquisition format.

    A file holds one activity of one recording; `info.labels` beside the files names labels, subjects and the split.
    """
    from har.jobs.export import FORMATS, edge_impulse
    from har.project import open_project

    if form not in FORMATS:
        raise SettingsError(
            where="har export",
            expected=f"a format: {', '.join(FORMATS)}",
            got=repr(form),
            remedy=did_you_mean(form, FORMATS) or "Write inbox files, or read the lake's tables, for other tools.",
        )
    with out.status("Writing …"):
        done = edge_impulse(
            open_project(),
            folder,
            subjects=subject or (),
            since=day(since),
            until=day(until),
            seconds=seconds,
            unlabelled=unlabelled,
        )
    table = Table("activity", "minutes", title="Exported")
    for name, length in sorted(done.seconds.items()):
        table.add_row(escape(name) or "(unlabelled)", f"{length / 60:.1f}")
    out.print(table)
    count = ", ".join(f"{number:,} for {category}" for category, number in sorted(done.files.items()))
    left = [
        f"{length:,.0f} s {why}"
        for length, why in ((done.unlabelled_s, "without a label"), (done.short_s, "in runs shorter than a window"))
        if length
    ]
    out.print(f"{count}: {escape(str(folder))}", soft_wrap=True, highlight=False)
    if left:
        out.print(f"Left out: {', '.join(left)}.", highlight=False)
