"""`har check-device`: ten seconds or more of a new device, and what is off about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from har.settings import load_settings
from har_cli._shared import pairs

if TYPE_CHECKING:
    from har.devices import Diagnosis

out = Console(soft_wrap=True, highlight=False)

OFF = 1
"""Exit code: something is off."""


def check_device(
    files: Annotated[list[Path], typer.Argument(help="Files of one device: ten seconds or more. Folders, too.")],
    layout: Annotated[
        str, typer.Option(help="A layout of `har import --list`; by default inbox files, CSV or Parquet.")
    ] = "",
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", metavar="NAME=VALUE", help="One of the layout's options.")
    ] = None,
    unit: Annotated[
        list[str] | None, typer.Option(metavar="SENSOR=UNIT", help="The values' unit, as for `har import`.")
    ] = None,
    axes: Annotated[
        list[str] | None, typer.Option(metavar="SENSOR=AXES", help="The values' axes, as for `har import`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what is off about a device beside what the champion was trained on. Exit code 1: something is.

    Units, gravity, axes, placement, rate, gaps, clipping, filters: ranked, with evidence and the settings that mend it.
    Without a champion, physics alone is asked.
    """
    from har.errors import NotEnoughDataError
    from har.importing import recorded
    from har.jobs.diagnose import check_devices
    from har.project import open_project

    load_settings()
    project = open_project()
    options = pairs(option, "check-device, --option")
    units, turned = pairs(unit, "check-device, --unit"), pairs(axes, "check-device, --axes")
    found = [
        one
        for path in files
        for one in recorded(path, project.settings, layout, options=options, units=units, axes=turned)
    ]
    if not found:
        raise NotEnoughDataError(
            where=", ".join(map(str, files)),
            expected="a recording",
            got="none",
            remedy="Name a file, or the layout of the folder: --layout NAME (see `har import --list`).",
        )
    diagnoses = check_devices(project, found)
    if as_json:
        typer.echo(json.dumps([one.to_json() for one in diagnoses], indent=1))
    else:
        for one in diagnoses:
            show(one, out)
    if not all(one.is_fine for one in diagnoses):
        raise typer.Exit(OFF)


def show(found: Diagnosis, console: Console, *, briefly: bool = False) -> None:
    """Print a diagnosis for people; `briefly`: only what is off."""
    name = escape(found.device or "this device")
    worn = f", worn at {escape(found.placement)}" if found.placement else ""
    if not briefly:
        console.print(f"[bold]{name}{worn}[/]: {found.seconds:.0f} s, beside {escape(found.beside)}")
    if found.is_fine and not briefly:
        console.print("[green]Nothing is wrong[/] that these recordings would show.")
    for number, one in enumerate(found.findings, 1):
        title = f"{name}: {escape(one.title)}" if briefly else f"{number}. {escape(one.title)}"
        console.print(f"[yellow]{title}[/]")
        for sentence in one.evidence:
            console.print(f"   - {escape(sentence)}")
        console.print(f"   {escape(one.remedy)}")
        if one.options:
            console.print(f"   [bold]har import … {escape(' '.join(one.options))}[/]")
        for line in one.settings:
            console.print(f"   [bold]{escape(line)}[/]")
    if not briefly:
        for sentence in found.undecided:
            console.print(f"[dim]Not decided:[/] {escape(sentence)}")
