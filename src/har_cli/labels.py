"""Commands about labels: show the windows whose labels would help most, import and export labels, review feedback."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from har.errors import LabelError
from har_cli._label_page import page
from har_cli._shared import out

if TYPE_CHECKING:
    from har.jobs.label import Import
    from har.project import Project

Which = "all, subject=NAME, source=NAME or an id"


def labels(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="CSV with subject, start, end and activity; JSON of Label Studio; or the labels.parquet of a snapshot."
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--out", help="Write the windows to this CSV, to fill in; or, to .json, as Label Studio's tasks."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what the labels of FILE match.")] = False,
    batches: Annotated[bool, typer.Option("--batches", help="List the imports.")] = False,
    undo: Annotated[str | None, typer.Option(metavar="BATCH", help="Take an import back.")] = None,
    feedback: Annotated[bool, typer.Option("--feedback", help="List the online service's feedback.")] = False,
    accept: Annotated[str | None, typer.Option(metavar="WHICH", help=f"Accept feedback: {Which}.")] = None,
    reject: Annotated[str | None, typer.Option(metavar="WHICH", help="Reject feedback, likewise.")] = None,
    prepare: Annotated[bool, typer.Option("--prepare", help="Let the page /label show the windows.")] = False,
    shared: Annotated[
        float | None, typer.Option(metavar="SHARE", help="With --prepare: part of them that two people get.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write what people answered on /label: .csv, or .json of Label Studio.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="With --export: csv or label-studio, whatever the file is called.")
    ] = None,
    agreement: Annotated[bool, typer.Option("--agreement", help="Show how far people agree on /label.")] = False,
) -> None:
    """Show the windows whose labels would help most, or write them to a file; import labels; review feedback.

    Feedback that nobody has accepted never replaces a label of a file, and judges no model.
    """
    from har.project import open_project

    asked = [file is not None, target is not None, batches, undo is not None, feedback, accept is not None]
    asked += [reject is not None, prepare, export is not None, agreement]
    _require_one(
        sum(asked),
        {
            "--dry-run without FILE": dry_run and file is None,
            "--shared without --prepare": shared is not None and not prepare,
            "--format without --export": form is not None and export is None,
        },
    )
    project = open_project()
    if file is not None and file.name == "labels.parquet":
        _bring_back(project, file, dry_run=dry_run)
    elif file is not None:
        _import(project, file, dry_run=dry_run)
    elif target is not None:
        _write(project, target)
    elif batches:
        _list_batches(project)
    elif undo is not None:
        _undo(project, undo)
    elif feedback:
        _list_feedback(project)
    elif accept is not None or reject is not None:
        _review(project, accept, reject)
    elif prepare or export is not None or agreement:
        page(project, shared=shared, export=export, form=form or "", agreement=agreement)
    else:
        _show(project)


def _require_one(asked: int, alone: dict[str, bool]) -> None:
    lonely = next((words for words, is_so in alone.items() if is_so), "")
    if asked > 1 or lonely:
        raise LabelError(
            where="har labels",
            expected="one of FILE, --out, --batches, --undo, --feedback, --accept, --reject, --prepare, --export and "
            "--agreement",
            got=lonely or "several",
            remedy="Run one after another; --dry-run goes with FILE, --shared with --prepare, --format with --export.",
        )


def _import(project: Project, file: Path, *, dry_run: bool) -> None:
    from har.jobs.label import import_labels

    result = import_labels(project, file, dry_run=dry_run)
    if len(result.recordings):
        out.print(_recordings(result))
    windows, replaced = (int(result.recordings[name].sum()) for name in ("windows", "replaced"))
    _say(f"{windows} windows of {len(result.recordings)} recordings match the {result.rows} labels of {file}.")
    if replaced:
        _say(f"{replaced} of these windows have another label so far, of a file or a person: yours replace it.")
    if result.outside:
        lines = ", ".join(map(str, result.outside[:10])) + (", …" if len(result.outside) > 10 else "")
        _say(f"{len(result.outside)} labels are about times at which nothing was recorded (lines {lines}).")
    if result.overlapping:
        _say(f"{result.overlapping} labels overlap a later line with another activity; the later line counts.")
    if result.rows and not windows:
        _say("No window gets a label: the intervals are shorter than windows.length_s × windows.purity.")
    if dry_run:
        _say(f"Nothing was imported: {result.new} labels would be new.")
        return
    _say(f"{result.new} labels are new, of {result.rows} in {file}.")
    if result.batch:
        _say(f"To take them back: har labels --undo {result.batch}")


def _bring_back(project: Project, file: Path, *, dry_run: bool) -> None:
    from har.snapshots import add_table, read_table

    if dry_run:
        _say(f"{file} has {len(read_table(file, project.lake))} labels as a snapshot kept them; nothing was imported.")
        return
    new = add_table(file, project.lake)
    _say(f"{new} labels are new to the lake, with whom they are from and what was decided about them.")


def _recordings(result: Import) -> Table:
    table = Table("date", "subject", "session", "windows", "replaced", title="What the labels match")
    for row in result.recordings.iter_rows(named=True):
        names = [str(row["date"]), escape(row["subject"]), escape(row["session"])]
        table.add_row(*names, str(row["windows"]), str(row["replaced"] or ""))
    return table


def _write(project: Project, target: Path) -> None:
    from har.files import write_atomically
    from har.jobs.label import requested_labels, why_none_are_requested

    windows = requested_labels(project.lake)
    if target.suffix.lower() == ".json":
        _write_for_label_studio(project, target)
        return
    write_atomically(target, windows.write_csv())
    if windows.is_empty():
        _say(f"{target} has the columns only. {why_none_are_requested(project.lake)}")
        return
    _say(f"{len(windows)} windows to label: {target}. Fill in the column activity, then: har labels {target}")


def _write_for_label_studio(project: Project, target: Path) -> None:
    from har.jobs.label import why_none_are_requested
    from har.jobs.label_page import write_tasks

    done = write_tasks(project, target)
    if not done.tasks:
        _say(f"{target} has no tasks. {why_none_are_requested(project.lake)}")
        return
    _say(f"{done.tasks} windows to label in Label Studio: {target}; its labelling configuration: {done.files[1]}")
    _say("Label them there and export the project as JSON, then: har labels EXPORT.json")


def _list_batches(project: Project) -> None:
    from har.jobs.label import batches

    found = batches(project.lake)
    table = Table("batch", "when", "from", "labels", "subjects", "first", "last", title="Imported labels")
    table.columns[0].no_wrap = True  # people copy it
    for row in found.iter_rows(named=True):
        when = f"{row['received_at']:%Y-%m-%d %H:%M}"
        spans = ["" if row[name] is None else f"{row[name]:%Y-%m-%d %H:%M}" for name in ("first", "last")]
        table.add_row(row["batch"], when, escape(row["source"]), str(row["labels"]), escape(row["subjects"]), *spans)
    out.print(table if len(found) else "No labels were imported yet: har labels FILE.")


def _undo(project: Project, batch: str) -> None:
    from har.jobs.label import undo_batch

    _say(f"{undo_batch(project.lake, batch)} labels were taken back.")


def _list_feedback(project: Project) -> None:
    from har.jobs.review import reviewable_feedback

    found = reviewable_feedback(project.lake, project.settings)
    columns = (
        "source",
        "subject",
        "rows",
        "first",
        "last",
        "activities",
        "windows",
        "conflicts",
        "model denies",
        "state",
    )
    table = Table(*columns, title="Feedback of the online service (times in UTC)")
    for row in found.iter_rows(named=True):
        spans = ["" if row[name] is None else f"{row[name]:%Y-%m-%d %H:%M:%S}" for name in ("first", "last")]
        waiting = f", {row['waiting']} waiting for their windows" if row["waiting"] else ""
        table.add_row(
            *(escape(row[name] or "unknown") for name in ("source", "subject")),
            str(row["rows"]),
            *spans,
            escape(row["activities"]),
            str(row["windows"]),
            str(row["conflicts"] or ""),
            f"{row['denied']} of {row['sure']}" if row["sure"] else "",
            f"{row['review'] or 'unreviewed'}{waiting}",
        )
    if found.is_empty():
        _say("There is no feedback in the lake; har collect reads it from the online service's log.")
        return
    out.print(table)
    _say("conflicts: windows that a file or a person labels otherwise; they keep that label until you accept.")
    _say("model denies: windows that get another activity than the one that a model was sure of.")
    _say("To decide: har labels --accept subject=NAME, or --reject; also source=NAME, the id of one, or all.")


def _review(project: Project, accept: str | None, reject: str | None) -> None:
    from har.jobs.review import review_feedback

    if accept is not None:
        done, waiting = review_feedback(project.lake, accept, "accepted")
        _say(f"{done} feedbacks were accepted: they count like imported labels. To undo: --reject {accept}")
        if waiting:
            _say(f"{waiting} cannot be accepted yet: their windows are not in the lake.")
    elif reject is not None:
        done, _ = review_feedback(project.lake, reject, "rejected")
        _say(f"{done} feedbacks were rejected: they stay in the lake and count for nothing.")


def _show(project: Project) -> None:
    from har.jobs.label import requested_labels, why_none_are_requested
    from har.jobs.review import unreviewed

    windows = requested_labels(project.lake)
    waiting = unreviewed(project.lake)
    if waiting:
        _say(f"{waiting} feedbacks wait for a person: har labels --feedback")
    if windows.is_empty():
        _say(why_none_are_requested(project.lake))
        return
    table = Table("subject", "start", "end", "believed", "confidence", title="Labels that would help most")
    for row in windows.iter_rows(named=True):
        stamps = [f"{row[name]:%Y-%m-%d %H:%M:%S}" for name in ("start", "end")]
        table.add_row(escape(row["subject"]), *stamps, row["believed"], f"{row['confidence']:.2f}")
    out.print(table)
    _say("Label them on the page /label of the online service: har labels --prepare")
    _say("Or write them to a file: har labels --out FILE. Fill it in, then: har labels FILE")


def _say(text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)
