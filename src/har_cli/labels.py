"""Labels: what would help most, and labels that people give as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from har_cli._shared import out


def labels(
    take: Annotated[Path | None, typer.Argument(help="A CSV with subject, start, end and activity to take in.")] = None,
    ask: Annotated[Path | None, typer.Option("--out", help="Write the windows asked for to this CSV.")] = None,
) -> None:
    """Show the windows whose labels would help most, write them to a CSV, or take labels from one."""
    from har.files import write_atomically
    from har.jobs.label import add_labels, open_questions, read_answers
    from har.project import open_project

    project = open_project()
    if take is not None:
        answers = read_answers(take, project.settings)
        out.print(f"{add_labels(project.lake, answers)} labels are new, of {len(answers)} in {take}.", highlight=False)
        return
    questions = open_questions(project.lake)
    if ask is not None:
        write_atomically(ask, questions.write_csv())
        out.print(f"{len(questions)} windows to label: {ask}. Fill in the column activity, then: har labels {ask}")
        return
    table = Table("subject", "start", "end", "believed", "confidence", title="Labels that would help most")
    for row in questions.iter_rows(named=True):
        stamps = [f"{row[name]:%Y-%m-%d %H:%M:%S}" for name in ("start", "end")]
        table.add_row(row["subject"], *stamps, row["believed"], f"{row['confidence']:.2f}")
    out.print(table)
