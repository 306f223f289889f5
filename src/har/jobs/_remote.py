"""Tables and model files on object storage, for a backup: what is there at one moment, and its way back.

There is no lock that holds writers there. A table's version is one file, so all tables are taken at the versions that
they had at one moment: those that two looks in a row find the same. What a job had written half of by then is what a
killed job leaves, and the same command makes it whole.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from har.errors import BackupError, LakeBusyError
from har.files import make_folder
from har.jobs._archive import Contents, Stored, unpack
from har.lake import Lake
from har.storage import Location

LOG = "_delta_log"
_ATTEMPTS = 20
_VERSION = re.compile(r"(\d{20})\.")


def versions_of(lake: Lake) -> dict[str, int]:
    """The versions that all tables had at one moment, -1 where there is none.

    Raises:
        LakeBusyError: they changed with each look.
    """
    before: dict[str, int] = {}
    for _ in range(_ATTEMPTS):
        found = {table.name: table.version() for table in lake.tables}
        if found == before:
            return found
        before = found
    raise LakeBusyError(
        where=str(lake.location),
        expected=f"a moment without a commit, within {_ATTEMPTS} looks",
        got="writers that commit all the time",
        remedy="Run the same command again when fewer jobs write.",
    )


def keep_logs(place: Location, versions: Mapping[str, int], folder: Path) -> dict[str, Stored]:
    """Copy the logs of tables up to these versions into a folder, before they are cleaned up.

    Args:
        place: of the lake.
        versions: of its tables.
        folder: gets a folder for each table.

    Returns:
        The tables' data files by name below the lake, those of earlier versions included.
    """
    files: dict[str, Stored] = {}
    for table, version in versions.items():
        if version < 0:
            continue
        make_folder(folder / table / LOG)
        for entry in (place / table).list():
            name = f"{table}/{entry.name}"
            if not entry.name.startswith(f"{LOG}/"):
                files[name] = Stored(place / name, entry.size, entry.modified)
            elif (found := _VERSION.match(entry.name.removeprefix(f"{LOG}/"))) and int(found[1]) <= version:
                (folder / name).write_bytes((place / name).read_bytes())
    return files


def files_of(place: Location, runs: Collection[str]) -> dict[str, Stored]:
    """The model files of these runs of MLflow, by name below the place."""
    wanted = frozenset(runs)
    return {
        entry.name: Stored(place / entry.name, entry.size, entry.modified)
        for entry in place.list()
        if entry.name.partition("/")[0] in wanted
    }


def require_none(place: Location) -> None:
    """Refuse a place that holds something already.

    Raises:
        BackupError: names it.
    """
    first = next(place.list(), None)
    if first is not None:
        raise BackupError(
            where=str(place),
            expected="none of what the backup holds",
            got=first.name,
            remedy="Name another prefix in har.toml, or another bucket. Nothing was changed there.",
        )


def bring(path: Path, contents: Contents, place: Location, names: Mapping[str, str]) -> None:
    """Send files of a backup to object storage; what an interrupted restore sent is not sent again.

    Data come before the logs that name them, and commits in their order: a table never misses a file.

    Args:
        path: the backup.
        contents: of it.
        place: gets the files.
        names: the name below the place by the name in the backup.
    """
    tops = sorted({below.partition("/")[0] for below in names.values()})
    sent = {f"{top}/{entry.name}": entry.size for top in tops for entry in (place / top).list()}
    missing = {name for name, below in names.items() if sent.get(below) != contents.files[name][0]}
    logs = {name for name in missing if f"/{LOG}/" in name}
    for wanted in (missing - logs, logs):
        if wanted:
            unpack(path, contents, partial(_target, place, {name: names[name] for name in wanted}))


def _target(place: Location, names: Mapping[str, str], name: str) -> Location | None:
    return place / names[name] if name in names else None
