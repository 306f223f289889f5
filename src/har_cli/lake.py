"""Commands about the lake's tables, for programs that read them without this one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The lake's tables, for other programs.")


@app.command()
def maintain() -> None:
    """Shorten the tables' logs and remove files that no kept version needs, due or not; jobs do it when it is due."""
    from har.jobs.maintain import keep_up
    from har.project import open_project
    from har_cli._shared import out

    for done in keep_up(open_project(), now=True):
        out.print(f"{done.table}@{done.version}: {done.removed} files removed, checkpoint written.", highlight=False)


@app.command()
def files(
    table: Annotated[str, typer.Argument(help="Such as samples, predictions or scores.", show_default=False)],
    version: Annotated[int | None, typer.Option(min=0, help="Of the table; by default the newest.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="With each file's date, subject, rows and bytes, and the table's version.")
    ] = False,
) -> None:
    """List the Parquet files that make up one version of a table, one a line, for a program without a Delta reader."""
    from har.project import open_project

    tables = {one.name: one for one in open_project().lake.tables}
    if table not in tables:
        raise typer.BadParameter(f"{table!r} is no table; there are {', '.join(tables)}.", param_hint="TABLE")
    # A later commit must not add files to the version that is printed.
    number = tables[table].version() if version is None else version
    found = tables[table].files(number)
    if not as_json:
        for file in found:
            print(file.path)
        return
    listed = [{**asdict(file), "date": file.date.isoformat()} for file in found]
    print(json.dumps({"table": table, "version": number, "files": listed}, ensure_ascii=False))
