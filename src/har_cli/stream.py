"""Commands about samples that devices send while they measure: answer them, the ledger, their way into the lake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from har_cli._shared import out

if TYPE_CHECKING:
    from har.streaming.ledger import Counts

app = typer.Typer(
    no_args_is_help=True,
    help="Samples that devices send while they measure: answers, the ledger, the way into the lake.",
)

_SHOWN = 40


@app.command()
def run() -> None:
    """Receive messages from the sources of har.toml, answer their windows, and deliver the answers; ends with Ctrl-C.

    Several such processes share the work; what one of them leaves when it ends or is killed, another one goes on with.
    """
    from har.jobs.stream import Stopped
    from har.jobs.stream import run as run_stream
    from har.logs import start, wants_json
    from har.project import open_project

    project = open_project()
    if wants_json(project.settings.logs.format):
        start(level="INFO", service="stream")
    else:
        import logging

        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with Stopped().on_signals() as stop:
        work = run_stream(project, stop)
    out.print(f"{work.messages} messages and {work.windows} windows answered.", highlight=False)


@app.command()
def sources() -> None:
    """List the sources that stream.sources in har.toml can name."""
    from har.streaming.sources import source_kinds

    table = Table("source", "what it is")
    table.add_row("queue", "the queue behind POST /samples of the online service, and of `har stream send`")
    for kind in source_kinds():
        table.add_row(kind.name, kind.about)
    out.print(table)


@app.command()
def ledger(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with all subjects.")] = False,
) -> None:
    """Show what became of every message, per subject and in total. Ends with 1 if a message has no fate, or two."""
    from har.jobs.stream import doubtful_devices
    from har.jobs.stream import ledger as read
    from har.project import open_project

    project = open_project()
    found = read(project)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), ensure_ascii=False))
    elif not found.subjects:
        out.print("No message has come yet.")
    else:
        names = sorted(found.subjects)
        table = Table("subject", "received", "scored", "waiting", "late", "duplicate", "rejected", "samples", "windows")
        for name in names[:_SHOWN]:
            table.add_row(name, *_cells(found.subjects[name]))
        table.add_section()
        table.add_row(f"all {len(names)}", *_cells(found.total))
        out.print(table)
        if len(names) > _SHOWN:
            out.print(f"{len(names) - _SHOWN} more subjects: har stream ledger --json", highlight=False)
        if found.total.short:
            out.print(f"{found.total.short:,} samples are of segments too short for a window.", highlight=False)
    for device in [] if as_json else doubtful_devices(project):
        for line in device.findings:
            name = f"{device.wearing.device} of {device.wearing.subject}"
            out.print(f"[yellow]{escape(name)}[/]: {escape(line)}", highlight=False, soft_wrap=True)
    if not found.balances:
        odd = [name for name, counts in found.subjects.items() if not counts.balances]
        out.print(f"[red]The ledger does not balance[/] for {', '.join(odd[:5])}.", highlight=False)
        raise typer.Exit(1)


@app.command()
def flush() -> None:
    """Write what is answered into the lake now, in place of within stream.lake_s; also after the stream was stopped."""
    from har.jobs.stream import flush as to_lake
    from har.project import open_project

    sunk = to_lake(open_project())
    out.print(f"{sunk.samples} samples and {sunk.predictions} predictions of {sunk.sessions} sessions are in the lake.")
    if sunk.quarantined:
        out.print(f"[yellow]{sunk.quarantined} stretches of samples went to quarantine[/]: see its folder stream.")
        raise typer.Exit(3)


def _cells(counts: Counts) -> list[str]:
    names = ("received", "scored", "waiting", "late", "duplicate", "rejected", "samples", "windows")
    return [f"{getattr(counts, name):,}" for name in names]
