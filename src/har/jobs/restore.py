"""Bring a backup back into a project that has no data yet: everything, or nothing.

The whole backup is read and compared with its list first. The files are then unpacked beside their places, and take
them only when all are there; a restore that was killed in between is finished by the same command.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from har.errors import BackupError
from har.files import file_sha256, temporary_folder, write_atomically
from har.jobs._archive import Contents, read_contents, unpack
from har.jobs._remote import bring, require_none
from har.jobs.backup import COPIED, HELD, PREFECT, PREFECT_DATABASE, SETTINGS
from har.project import use_tracking
from har.registry import ARTIFACTS, DATABASE, DUMP, is_local, load_dump
from har.settings import FILE_NAME, Settings, load_settings
from har.storage import Location

Whose = Literal["same", "backup", "here"]
"""Which settings hold afterwards: they are the same, else those of the backup, or those of this folder."""

_MARKER = ".har-restore"
_FILES = ("feedback_token",)


@dataclass(frozen=True)
class RestoreReport:
    """The result of `restore`.

    Attributes:
        contents: of the backup.
        places: where each part is now.
        seconds: duration.
    """

    contents: Contents
    places: dict[str, Location]
    seconds: float


def restore(settings: Settings, path: Path, *, whose: Whose = "same") -> RestoreReport:
    """Restore a backup into the project.

    Args:
        settings: of the project, which has no data yet.
        path: the backup.
        whose: "backup": its har.toml replaces the one here. "here": the one here stays. "same": they must not differ.

    Raises:
        BackupError: the backup is damaged or of another project; or something that it holds is here already.
        StorageError: the disk refuses; nothing is restored.
    """
    began = time.perf_counter()
    contents = read_contents(path)
    known = settings.root / FILE_NAME
    with temporary_folder("restore") as folder:
        unpack(path, contents, lambda name: folder / FILE_NAME if name == f"{SETTINGS}/{FILE_NAME}" else None)
        theirs = folder / FILE_NAME
        differ = theirs.read_bytes() != known.read_bytes()
        if differ and whose == "same":
            raise BackupError(
                where=str(known),
                expected="the settings of the backup",
                got="others",
                remedy="Take those of the backup with `--settings backup`, or keep these with `--settings here`.",
            )
        if differ and whose == "backup":
            settings = load_settings(theirs).model_copy(update={"root": settings.root})
        if contents.project != settings.project.name:
            raise BackupError(
                where=str(path),
                expected=f"a backup of {settings.project.name!r}",
                got=f"one of {contents.project!r}",
                remedy="Restore it in a clone of that project, or with `--settings backup`.",
            )
        places = {part: place for part, place in _places(settings) if part in contents.parts()}
        _bring(settings, path, contents, {part: place.local for part, place in places.items() if place.is_local})
        if differ and whose == "backup":
            write_atomically(known, theirs.read_bytes())
    (settings.root / _MARKER).unlink()
    return RestoreReport(contents, places, time.perf_counter() - began)


def _bring(settings: Settings, path: Path, contents: Contents, places: dict[str, Path]) -> None:
    marker = settings.root / _MARKER
    remote = list(_remote(settings, contents))
    identity = f"{contents.project} {contents.made_at} {file_sha256(path)}\n"
    if marker.exists():
        if marker.read_text(encoding="utf-8") != identity:
            raise BackupError(
                where=str(marker),
                expected="the backup whose restore was interrupted",
                got="another one",
                remedy="Finish that restore first, with the same file; or clear the folder and delete the marker.",
            )
    else:
        _require_empty(places)
        for table in {name.split("/")[1] for name in contents.files if name.startswith("lake/")}:
            if not settings.location("lake").is_local:
                require_none(settings.location("lake") / table)
        _require_fitting_database(settings, contents)
        _remove_drafts(places)
        try:
            _unpack(path, contents, places, {name for _, names in remote for name in names})
        except BaseException:
            _remove_drafts(places)
            raise
        write_atomically(marker, identity)
    for base, names in remote:
        bring(path, contents, base, names)
    for place in places.values():
        if _draft(place).exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir():
                shutil.rmtree(place)  # locks alone, as `_require_empty` found
            _draft(place).replace(place)


def _unpack(path: Path, contents: Contents, places: dict[str, Path], remote: Collection[str]) -> None:
    """Unpack beside the places, and load a dump into its database, which is the last that can fail."""

    def target(name: str) -> Path | None:
        part, _, rest = name.partition("/")
        if part not in places or name in remote:
            return None
        return _draft(places[part]) if _is_file(part) else _draft(places[part]) / rest

    unpack(path, contents, target)
    _sync(_draft(place) for place in places.values())
    dump = _draft(places["mlflow"]) / DUMP if "mlflow" in places else None
    if dump is not None and dump.exists():
        load_dump(dump)
        dump.unlink()


def _remove_drafts(places: dict[str, Path]) -> None:
    for place in places.values():
        draft = _draft(place)
        if draft.is_file():
            draft.unlink()
        elif draft.exists():
            shutil.rmtree(draft)


def _places(settings: Settings) -> Iterator[tuple[str, Location]]:
    for part in (*COPIED, *HELD, "bentoml"):
        yield part, settings.location(part)
    yield PREFECT, settings.place(settings.root / PREFECT_DATABASE)


def _remote(settings: Settings, contents: Contents) -> Iterator[tuple[Location, dict[str, str]]]:
    """Places on object storage, and the names there of the backup's files that belong there."""
    lake, models = "lake/", f"mlflow/{ARTIFACTS}/"
    if not settings.location("lake").is_local:
        # What is hidden beside the tables suits folders only: locks, records of commits, checksums.
        names = {name: name.removeprefix(lake) for name in contents.files if name.startswith(lake)}
        yield settings.location("lake"), {name: below for name, below in names.items() if not below.startswith(".")}
    if settings.artifacts is not None:
        yield (
            settings.artifacts,
            {name: name.removeprefix(models) for name in contents.files if name.startswith(models)},
        )


def _is_file(part: str) -> bool:
    return part in (*_FILES, PREFECT)


def _draft(place: Path) -> Path:
    return place.with_name(f".{place.name}.restoring")


def _require_empty(places: dict[str, Path]) -> None:
    for place in places.values():
        found = place if place.is_symlink() or place.is_file() else next(_data_in(place), None)
        if found is not None:
            raise BackupError(
                where=str(place),
                expected="none of what the backup holds",
                got=f"{found}",
                remedy="Restore into a new clone. Nothing was changed here.",
            )


def _data_in(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if not path.is_dir() and not path.name.endswith(".lock"))


def _require_fitting_database(settings: Settings, contents: Contents) -> None:
    use_tracking(settings)
    for name, fits, kind in (
        (DATABASE, is_local(), "the registry in SQLite"),
        (DUMP, not is_local(), "the registry in Postgres"),
    ):
        if f"mlflow/{name}" in contents.files and not fits:
            raise BackupError(
                where="tracking.uri",
                expected=f"a place for {kind}, which the backup holds",
                got="the other kind",
                remedy="Clear tracking.uri and MLFLOW_TRACKING_URI for SQLite, or name an empty Postgres database.",
            )


def _sync(drafts: Iterator[Path]) -> None:
    """Wait until everything is on the disk, before it takes its place."""
    for draft in drafts:
        for path in [draft, *(draft.rglob("*") if draft.is_dir() else ())]:
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
