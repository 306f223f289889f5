"""`har import`: report on a folder of published recordings, and write them to the inbox."""

from __future__ import annotations

import datetime as dt
import shlex
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from har.errors import HarError, NotEnoughDataError
from har.files import temporary_folder
from har.settings import load_settings
from har_cli._shared import end_unless, pairs

if TYPE_CHECKING:
    from har.importing import Labels, Staged, Survey
    from har.recordings.layouts import Layout
    from har.settings import Settings

_REFUSED_SHOWN = 20
_NAMES_SHOWN = 10
out = Console(soft_wrap=True, highlight=False)


def _list(wanted: bool) -> None:
    if not wanted:
        return
    from har.recordings.layouts import layouts

    for layout in layouts():
        out.print(f"[bold]{layout.name}[/]  {escape(layout.title)}")
        for name, text in layout.options.items():
            out.print(f"    -o {escape(f'{name}=…  {text}')}")
    raise typer.Exit


def import_recordings(
    layout: Annotated[str, typer.Argument(help="A layout's name (see --list), or a Python file that holds one.")],
    path: Annotated[Path, typer.Argument(help="The folder or file to read.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report; write nothing.")] = False,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", metavar="NAME=VALUE", help="One of the layout's options.")
    ] = None,
    activities: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="LABEL=ACTIVITY", help="The activity of a label; LABEL= makes its samples unlabelled."
        ),
    ] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(metavar="SENSOR=UNIT", help="The values' unit, if the layout states a wrong one."),
    ] = None,
    calibrated: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Correct gain and offset of the accelerometer by its own stretches at rest; see the report.",
        ),
    ] = False,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SENSOR=AXES", help="The values' axes, such as accelerometer=y,-x,z, if the device has others."
        ),
    ] = None,
    first_day: Annotated[
        dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The first date for recordings without a date.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", callback=_list, is_eager=True, help="List the layouts and their options.")
    ] = False,
) -> None:
    """Read recordings of a published or vendor layout and write inbox files for `har ingest`."""
    from har.importing import ASSIGNED_FROM, calibrate, survey, write
    from har.recordings.layouts import find_layout
    from har_cli._wear import print_calibrated, print_wear

    settings = load_settings()
    reader = find_layout(layout)
    with temporary_folder("import") as folder:
        with out.status(f"Reading {path} …"):
            found = survey(
                reader,
                path,
                settings,
                folder,
                options=pairs(option, "import, --option"),
                names=pairs(activities, "import, --map"),
                units=pairs(unit, "import, --unit"),
                axes=pairs(axes, "import, --axes"),
                first_day=first_day.date() if first_day else ASSIGNED_FROM,
            )
        _print_survey(found, path)
        if found.staged:
            print_wear(found, settings, out, suggest=not calibrated)
        if calibrated:
            with out.status("Calibrating …"):
                done = calibrate(found, settings)
            print_calibrated(done, out)
        _print_new_devices(found)
        if found.refused and len(found.refused) >= len(found.staged):
            _print_proposal(reader, path, settings, pairs(option, "import, --option"), pairs(unit, "import, --unit"))
        if not found.staged:
            raise NotEnoughDataError(
                where=str(path), problem="no recording can be imported", remedy="The reasons are above."
            )
        found.labels.require_known()
        inbox = settings.path("inbox")
        if dry_run:
            out.print(f"Nothing was written (--dry-run): {len(found.staged)} files would go to {escape(str(inbox))}")
            return
        written = write(found, inbox)
    for conflict in written.conflicts:
        out.print(f"[yellow]not written[/] {escape(str(conflict.error))}")
    refused, passed = len(found.refused), sum(one.count for one in found.passed)
    rest = f", {refused} recording{'s' if refused > 1 else ''} refused" if refused else ""
    rest += f", {passed} entr{'ies' if passed > 1 else 'y'} passed over" if passed else ""
    out.print(f"{written.new} files written, {written.present} there already{rest}: {escape(str(inbox))}")
    end_unless(not found.refused and not written.conflicts)


def _print_survey(found: Survey, path: Path) -> None:
    """Report on the recordings before anything is written."""
    if found.staged:
        _print_found(found)
        _print_dates(found)
        longest = max(found.staged, key=lambda one: one.quality.longest_gap_s)
        out.print(f"Longest time between two samples: {longest.quality.longest_gap_s:g} s, in {escape(longest.source)}")
        _print_labels(found.labels)
    if found.renamed:
        pairs = [f"{old!r} → {new}" for old, new in found.renamed.items()]
        more = f" and {len(pairs) - _NAMES_SHOWN} more" if len(pairs) > _NAMES_SHOWN else ""
        out.print(f"Subjects renamed for the inbox: {escape(', '.join(pairs[:_NAMES_SHOWN]))}{more}.")
    if found.faults and found.staged:
        faults = Table("fault", "count", title="Faults")
        for words, count in sorted(found.faults.items()):
            faults.add_row(escape(words), f"{count:,}")
        out.print(faults)
    for passed in found.passed:
        out.print(f"[yellow]passed over[/] {escape(str(passed))}")
    _print_refused(found, path)


def _print_found(found: Survey) -> None:
    by_kind: defaultdict[tuple[str, str], list[Staged]] = defaultdict(list)
    for one in found.staged:
        by_kind[one.device, one.placement].append(one)
    table = Table("device", "placement", "subjects", "sessions", "hours", "measured rate", "units", title="Found")
    for (device, placement), group in sorted(by_kind.items()):
        rates = sorted(one.quality.measured_rate_hz for one in group)
        counted = " (stated; times are counted samples)" if all(one.clock == "counted" for one in group) else ""
        rate = f"{rates[0]:.1f}" if f"{rates[0]:.1f}" == f"{rates[-1]:.1f}" else f"{rates[0]:.1f} to {rates[-1]:.1f}"
        units = sorted({f"{sensor} {unit}" for one in group for sensor, unit in one.sensors.items()})
        table.add_row(
            escape(device) or "unknown",
            escape(placement) or "unknown",
            str(len({one.file.subject for one in group})),
            str(len(group)),
            f"{sum(one.seconds for one in group) / 3600:.2f}",
            f"{rate} Hz{counted}",
            ", ".join(units),
        )
    out.print(table)


def _print_new_devices(found: Survey) -> None:
    """Warn of what is off about devices that the lake has no recording of; nothing is refused for it."""
    from har.jobs.diagnose import new_devices
    from har.project import open_project
    from har_cli.check_device import show

    try:
        with out.status("Looking at new devices …"):
            diagnoses = new_devices(open_project(), found)
    except HarError as error:
        out.print(f"[yellow]New devices were not looked at:[/] {escape(str(error))}")
        return
    off = [one for one in diagnoses if not one.is_fine]
    for one in off:
        show(one, out, briefly=True)
    if off:
        out.print("It is imported as it is. `har check-device FILE` says more.")


def _print_refused(found: Survey, path: Path) -> None:
    from har.importing import grouped

    groups = grouped(found.refused)
    for group in groups[:_REFUSED_SHOWN]:
        out.print(f"[yellow]refused[/] {escape(group.text(str(path)))}")
    if len(groups) > _REFUSED_SHOWN:
        rest = sum(len(group.sources) for group in groups[_REFUSED_SHOWN:])
        out.print(f"… and {rest} more refused, for {len(groups) - _REFUSED_SHOWN} other reasons.")


def _print_proposal(
    reader: Layout, path: Path, settings: Settings, options: dict[str, str], units: dict[str, str]
) -> None:
    """The command that would work, guessed from the files."""
    from har.importing import propose

    with out.status("Looking for options that fit …"):
        proposal = propose(reader, path, settings, options, units)
    if proposal is None:
        return
    if proposal.read:
        tried = f"{proposal.read} of {proposal.tried} files tried" if proposal.tried > 1 else "the file"
        out.print(f"\n[bold]These options read {tried}; check that they are right:[/]")
    else:
        out.print("\n[bold]The columns look as in this command; it does not read the files yet:[/]")
    out.print(f"  {escape(proposal.command)}")
    if proposal.why_not and not proposal.read:
        out.print(f"It fails with: {escape(proposal.why_not)}")
    if proposal.labels:
        maps = " ".join(f"--map {shlex.quote(f'{label}=ACTIVITY')}" for label in proposal.labels)
        out.print(f"Labels that har.toml does not have need {escape(maps)}")
    for note in proposal.notes:
        out.print(escape(note))
    out.print("")


def _print_dates(found: Survey) -> None:
    dates = sorted({one.file.date for one in found.staged})
    assigned = sum(one.clock != "utc" for one in found.staged)
    if dates:
        span = str(dates[0]) if len(dates) == 1 else f"{dates[0]} to {dates[-1]}, {len(dates)} days"
        out.print(f"Dates: {span}.", end=" " if assigned else "\n")
    if assigned:
        out.print(f"{assigned} recordings have no date; dates are assigned in their order (--first-day).")


def _print_labels(labels: Labels) -> None:
    if not labels.samples:
        out.print("Activities: none; the recordings that can be imported carry no labels.")
        return
    table = Table("label", "activity", "samples", title="Activities")
    for label, count in sorted(labels.samples.items()):
        activity = labels.activity(label)
        words = "[red]unknown[/]" if activity is None else escape(activity) or "(unlabelled)"
        table.add_row(escape(label), words, f"{count:,}")
    out.print(table)
