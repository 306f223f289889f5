"""Delete all data of a project, after a person has read what is lost and has typed "yes": `make clean-data`.

Exit status: 0 if it was deleted or there was none, 1 if the person declined, 2 if nobody can be asked or it is in use.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from har.errors import HarError
from har.project import Project, open_project
from har.storage import Location
from infra.local.server import running_server

_WORD = "yes"


def main() -> int:
    """Ask and delete; returns the exit status."""
    try:
        project = open_project()
    except HarError as error:
        return _refuse(str(error))
    settings = project.settings
    try:
        found = [(place, text) for place, text in _lost(project) if _is_there(place)]
    except HarError as error:
        return _refuse(f"Nothing was deleted. {error}")
    if not found:
        print("There are no data.")
        return 0
    print("This would delete, for good:")
    for place, text in found:
        inside = isinstance(place, Path) and place.is_relative_to(settings.root)
        print(f"  {place}{'' if inside else ' (outside of the project: others may use it)'}: {text}")
    if running_server(settings.root / ".prefect"):
        return _refuse("`make up` runs here: stop it first.")
    if not sys.stdin.isatty():
        return _refuse("Nothing was deleted: a person has to type the answer. In a script, remove the folders by name.")
    try:
        answer = input(f'Type "{_WORD}" to delete all of this: ')
    except EOFError:
        answer = ""
    if answer.strip() != _WORD:
        print("Nothing was deleted.")
        return 1
    for place, _ in found:
        _remove(place)
    print("Deleted.")
    return 0


def _lost(project: Project) -> Iterator[tuple[Path | Location, str]]:
    """Folders and prefixes of the project's data, and what is in each, in words.

    Of a bucket, only the tables count: others may be below the same prefix. Model files there stay, as they may be of
    several projects.
    """
    settings = project.settings
    inbox = settings.path("inbox")
    files = list(_files(inbox))
    days = {path.relative_to(inbox).parts[0] for path in files if len(path.relative_to(inbox).parts) > 1}
    yield inbox, f"{len(files)} recordings of {len(days)} days, the only raw data there are"
    yield settings.path("labels"), f"{len(list(_files(settings.path('labels'))))} files of imported labels"
    yield settings.root / ".dvc" / "cache", "copies of what snapshots hold; the DVC remote keeps its own"
    yield settings.path("quarantine"), f"{len(list(_files(settings.path('quarantine'))))} files that wait for a person"
    yield settings.path("journal"), f"{len(list(_files(settings.path('journal'))))} files of the online service's log"
    lake = settings.location("lake")
    if lake.is_local:
        yield lake.local, _told(lambda: _of_lake(project))
    else:
        yield from ((lake / table.name, _told(partial(_of_table, lake / table.name))) for table in project.lake.tables)
    yield settings.path("mlflow"), _told(lambda: _of_registry(project))
    for name, what in (("bentoml", "packaged models"), ("reports", "pages and figures"), ("runs", "trainings")):
        yield settings.path(name), f"{what}, {len(list(_files(settings.path(name))))} files"
    yield settings.root / ".prefect", "the Prefect server's history of runs"


def _of_lake(project: Project) -> str:
    lake = project.lake
    samples = lake.samples.counts()
    days = len({date for date, _ in samples})
    return (
        f"{sum(samples.values()):,} samples of {days} days, {lake.predictions.count():,} predictions, "
        f"{lake.labels.count():,} labels by feedback, {lake.decisions.count():,} decisions"
    )


def _of_table(place: Location) -> str:
    sizes = [entry.size for entry in place.list()]
    return f"{len(sizes):,} objects, {sum(sizes) / 1e6:,.1f} MB; earlier versions that the bucket keeps stay"


def _of_registry(project: Project) -> str:
    registry, stay = project.registry, ""
    if project.settings.artifacts is not None:
        stay = f"; model files in {project.settings.artifacts} stay"
    if os.environ.get("MLFLOW_TRACKING_URI"):
        log = f"a promotion log of {len(registry.log())} lines"
        return f"{log}; the versions are in the tracking database, which stays{stay}"
    return f"{len(registry.versions())} model versions, a promotion log of {len(registry.log())} lines{stay}"


def _told(describe: Callable[[], str]) -> str:
    try:
        return describe()
    except HarError as error:
        return f"not readable ({error})"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _is_there(place: Path | Location) -> bool:
    return place.exists() or (isinstance(place, Path) and place.is_symlink())


def _remove(place: Path | Location) -> None:
    """Delete a folder or what is below a prefix; of a link, the link alone."""
    if isinstance(place, Location):
        place.delete_prefix()
    elif place.is_symlink():
        place.unlink()
    else:
        shutil.rmtree(place)


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
