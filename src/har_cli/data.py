"""Commands about versions of the raw data: take a snapshot with DVC, list snapshots, restore one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from har_cli._shared import end_unless, out

if TYPE_CHECKING:
    from har.snapshots import Taken

app = typer.Typer(no_args_is_help=True, help="Versions of the raw data, with DVC: snapshot, list, restore.")

_LISTED = 10


@app.command()
def snapshot(
    message: Annotated[str, typer.Option("--message", "-m", help="Why, for the list.")],
    empty: Annotated[bool, typer.Option("--empty", help="Also if the inbox is empty, and was not before.")] = False,
) -> None:
    """Take the inbox and the label files into DVC, send them to the remote, and commit the pointers.

    Exit code 3: some entries are in no snapshot, because they are no files or cannot be read.
    """
    from har.jobs.snapshot import take
    from har.project import open_project

    with out.status("Reading, and sending what is new …"):
        taken = take(open_project(), message, empty=empty)
    held = taken.snapshot
    if taken.new:
        _say(f"Snapshot {held.commit[:12]}: {held.files} files, {in_units(held.size)}; {_changes(taken)}.")
        _say("Other clones get it after: git push")
    else:
        _say(f"Nothing has changed since snapshot {held.commit[:12]}: {held.files} files, {in_units(held.size)}.")
    for what, names in (
        ("still being uploaded, for the next snapshot", list(taken.unfinished)),
        ("left out", [f"{name} ({why})" for name, why in taken.left_out.items()]),
    ):
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            _say(f"{len(names)} {what}: {', '.join(names[:_LISTED])}{more}")
    for note in taken.notes:
        _say(note)
    end_unless(not taken.left_out)


@app.command("list")
def list_snapshots() -> None:
    """List the snapshots of the current branch, the newest first."""
    from har.settings import load_settings
    from har.snapshots import Snapshots

    found = Snapshots(load_settings()).history()
    if not found:
        _say('There is no snapshot yet: har data snapshot -m "why".')
        return
    table = Table("date", "commit", "why", "files", "bytes", title="Snapshots of the raw data")
    for column in table.columns[3:]:
        column.justify = "right"
    for column in (*table.columns[:2], *table.columns[3:]):
        column.no_wrap = True  # people copy them; what is too long is why
    for one in found:
        size = f"{one.size:,}"
        table.add_row(one.date[:16].replace("T", " "), one.commit[:12], escape(one.why), str(one.files), size)
    out.print(table)


@app.command()
def restore(commit: Annotated[str, typer.Argument(help="As `har data list` shows it, or any name of git's.")]) -> None:
    """Bring the inbox and the label files back to a snapshot, byte by byte.

    Files that are in no snapshot are never overwritten or deleted: the command names them and changes nothing.
    """
    from har.jobs.snapshot import restore as bring_back
    from har.project import open_project

    with out.status("Comparing, and fetching what is missing …"):
        done = bring_back(open_project(), commit)
    _say(
        f"Restored {done.commit[:12]}: {done.written} files written, {done.deleted} deleted, {done.same} as they were. "
        "The lake is as it was; git shows the pointers as changed."
    )


def in_units(size: int) -> str:
    """A number of bytes for people."""
    value, unit = float(size), "bytes"
    for bigger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, bigger
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"


def _changes(taken: Taken) -> str:
    gone = f", {taken.removed} gone" if taken.removed else ""
    return f"{taken.added} new{gone}"


def _say(text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)
