"""Commands about labels: show the windows whose labels would help most, import labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from har_cli._shared import out


def labels(
    file: Annotated[Path | None, typer.Argument(help="CSV with subject, start, end and activity.")] = None,
    target: Annotated[Path | None, typer.Option("--out", help="Write the windows to this CSV, to fill in.")] = None,
) -> None:
    """Show the windows whose labels would help most, write them to a CSV, or import labels from one."""
    from har.files import write_atomically
    from har.jobs.label import add_labels, read_labels, requested_labels
    from har.project import open_project

    project = open_project()
    if file is not None:
        rows = read_labels(file, project.settings)
        out.print(f"{add_labels(project.lake, rows)} labels are new, of {len(rows)} in {file}.", highlight=False)
        return
    windows = requested_labels(project.lake)
    if target is not None:
        write_atomically(target, windows.write_csv())
        out.print(f"{len(windows)} windows to label: {target}. Fill in the column activity, then: har labels {target}")
        return
    table = Table("subject", "start", "end", "believed", "confidence", title="Labels that would help most")
    for row in windows.iter_rows(named=True):
        stamps = [f"{row[name]:%Y-%m-%d %H:%M:%S}" for name in ("start", "end")]
        table.add_row(row["subject"], *stamps, row["believed"], f"{row['confidence']:.2f}")
    out.print(table)
