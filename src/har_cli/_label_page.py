"""What `har labels` does about the page `/label`: prepare its tasks, export its answers, show how far people agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from har_cli._shared import out

if TYPE_CHECKING:
    from har.project import Project


def page(project: Project, *, shared: float | None, export: Path | None, form: str, agreement: bool) -> None:
    """Export if there is a file to write, else show the agreement if that is asked for, else prepare the tasks."""
    if export is not None:
        _export(project, export, form)
    elif agreement:
        _agreement(project)
    else:
        _prepare(project, shared)


def _prepare(project: Project, shared: float | None) -> None:
    from har.jobs.label import why_none_are_requested
    from har.jobs.label_page import prepare_tasks

    done = prepare_tasks(project) if shared is None else prepare_tasks(project, shared=shared)
    if done.labelled:
        _say(f"{done.labelled} requested windows have got a person's label since.")
    if done.without_samples:
        _say(f"{done.without_samples} cannot be shown: the lake has no samples of them.")
    if not done.tasks:
        _say(f"The page /label has nothing to show. {why_none_are_requested(project.lake)}")
        return
    _say(f"{done.tasks} windows wait on the page /label of the online service, {done.new} of them new.")
    _say(f"{done.shared} of them are given to two people, so that their agreement is known.")


def _export(project: Project, target: Path, form: str) -> None:
    from har.jobs.label_page import export_answers

    done = export_answers(project, target, form=form)
    _say(f"{done.answers} answers about {done.tasks} windows: {', '.join(map(str, done.files))}")


def _agreement(project: Project) -> None:
    from har.labelling import Store, agreement, store_path

    found = agreement(Store(store_path(project.settings.path("journal"))).answers())
    if not found.pairs:
        _say("No window was answered by two people yet: har labels --prepare --shared 0.2 gives a fifth to two.")
        return
    table = Table("labellers", "windows", "agree", "Cohen's kappa", title="How far people agree")
    for pair in found.pairs:
        names = escape(f"{pair.first}, {pair.second}")
        table.add_row(names, str(pair.windows), f"{pair.agreed / pair.windows:.0%}", _kappa(pair.kappa))
    out.print(table)
    _say(f"All pairs: kappa {_kappa(found.kappa)} (mean), {found.windows} windows that several people decided.")
    if found.disputed:
        _say(f"{len(found.disputed)} windows are in dispute and train nothing until most agree: har labels --export")


def _kappa(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"


def _say(text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)
