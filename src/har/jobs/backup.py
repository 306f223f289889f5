"""Copy a project's data into one file while everything runs: recordings, lake, registry, log, reports, settings.

Writers of the lake and of the registry are held for as long as hard links to their files take, so that the tables agree
with each other and with the registry; the data are then read from the links. What the online service logs, and what
arrives in the inbox meanwhile, is copied first, so that a restored project may find a line twice but never misses one:
collecting and ingesting are idempotent.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from har.console import console
from har.errors import BackupError, LakeBusyError
from har.files import locked, make_folder
from har.jobs._archive import Contents, Stored, write_archive
from har.jobs._remote import files_of, keep_logs, versions_of
from har.labelling import store_path
from har.lake import Lake, Table
from har.project import Project
from har.registry import ARTIFACTS, CACHE, DATABASE, Registry, copy_sqlite
from har.settings import Settings

COPIED = ("inbox", "quarantine", "journal", "stream", "feedback_token", "reports")
"""Parts that are copied before the lake is: keys of `paths`."""
HELD = ("lake", "mlflow")
"""Parts that are copied while their writers are held."""
SETTINGS, PREFECT = "settings", "prefect"
PREFECT_DATABASE = Path(".prefect", "prefect.db")

_STAGED = ".backup"
_LAKE_ATTEMPTS = 10
_NESTED = ("recordings", "requests", "labels")
"""Jobs hold the locks of these while they write to others: they are taken in the same order here."""


@dataclass(frozen=True)
class BackupReport:
    """The result of `backup`.

    Attributes:
        path: the file.
        contents: what is in it.
        held_s: for how long writers were held.
        seconds: duration.
    """

    path: Path
    contents: Contents
    held_s: float
    seconds: float


def backup(
    project: Project, target: Path, *, recordings: bool = True, bentos: bool = False, database: bool = True
) -> BackupReport:
    """Write a backup of the project's data.

    Args:
        project: its settings, lake and registry.
        target: the file, or a folder that exists, for `<project>-<time>.tar`.
        recordings: also the inbox and the quarantine.
        bentos: also the packaged models, which `har package` makes again.
        database: also the registry's database. False: somebody else copies it at the same time.

    Raises:
        BackupError: the target exists, or the registry is on a server whose database cannot be read from here.
        LakeBusyError: another process has locked a table for ten minutes.
        RegistryError: the registry's database cannot be copied.
        StorageError: the disk refuses.
    """
    began = time.perf_counter()
    settings = project.settings
    made_at = dt.datetime.now(dt.UTC)
    path = _free(target, f"{settings.project.name}-{made_at:%Y%m%dT%H%M%SZ}.tar")
    notes = []
    parts = [part for part in COPIED if recordings or part not in ("inbox", "quarantine")]
    if not recordings:
        notes.append("no recordings: the inbox and the quarantine are kept elsewhere")
    if not database:
        notes.append("no database of the registry: it is kept elsewhere")
    lake = settings.location("lake")
    home = lake.local if lake.is_local else settings.path("mlflow")
    busy = BackupError(where=str(home), problem="another backup is being made", remedy="Wait until it ends.")
    with locked(home / "backup.lock", timeout_s=0, busy=busy), ExitStack() as stack:
        _remove_drafts(path.parent, settings.project.name)
        journal = stack.enter_context(_staging(settings.path("journal").parent, "journal"))
        _copy_journal(settings.path("journal"), journal)
        stream = stack.enter_context(_staging(settings.path("stream").parent, "stream"))
        _copy_stream(settings.path("stream"), stream)
        staged = {"journal": journal, "stream": stream}
        held = {part: stack.enter_context(_staging(folder, part)) for part, folder in _homes(settings, home)}
        remote: dict[str, Stored] = {}
        with console.status("Waiting for the writers of the lake …"):
            held_s = _hold_and_link(project, held, remote, database=database)
        if bentos:
            held["bentoml"] = stack.enter_context(_staging(settings.path("bentoml"), "bentoml"))
            _link_bentos(settings.path("bentoml"), held["bentoml"])
        prefect = stack.enter_context(_staging(home, PREFECT))
        if (settings.root / PREFECT_DATABASE).exists():
            copy_sqlite(settings.root / PREFECT_DATABASE, prefect / PREFECT_DATABASE.name)
        else:
            notes.append("no history of Prefect's runs: its database is not here")

        def entries() -> Iterator[tuple[str, Path | Stored]]:
            yield f"{SETTINGS}/har.toml", settings.root / "har.toml"
            for part in parts:
                yield from _named(part, staged.get(part) or settings.path(part))
            for part, folder in {**held, PREFECT: prefect}.items():
                yield from _named(part, folder)
            yield from sorted(remote.items())

        with console.status(f"Writing {path} …"):
            stamp = made_at.isoformat(timespec="seconds")
            contents = write_archive(path, Contents(settings.project.name, stamp, tuple(notes)), entries())
    return BackupReport(path, contents, held_s, time.perf_counter() - began)


def _free(target: Path, name: str) -> Path:
    """The file to write: `target`, or one of that name in the folder `target`."""
    path = target / name if target.is_dir() else target
    make_folder(path.parent)
    if path.exists():
        raise BackupError(
            where=str(path),
            expected="a name that is free",
            got="a file",
            remedy="Choose another name: none is replaced.",
        )
    return path


def _remove_drafts(folder: Path, project: str) -> None:
    """Remove what a killed backup of this project left; the caller holds the lock of its backups."""
    for draft in folder.glob(f".{project}-*.tar.*.tmp"):
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _staging(beside: Path, part: str) -> Iterator[Path]:
    """An empty folder in `beside`, removed when the block ends; what a killed backup left there is removed."""
    folder = beside / f"{_STAGED}-{part}"
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _homes(settings: Settings, home: Path) -> Iterator[tuple[str, Path]]:
    """The folder beside which each of the held parts is staged."""
    yield "lake", home
    yield "mlflow", settings.path("mlflow")


def _hold_and_link(project: Project, held: dict[str, Path], remote: dict[str, Stored], *, database: bool) -> float:
    """Link the files of lake and registry while nobody writes to them; returns for how many seconds.

    What is on object storage is noted in `remote`, by its name in the backup.
    """
    for left in reversed(range(_LAKE_ATTEMPTS)):
        with ExitStack() as stack:
            try:
                _hold_lake(project, stack)
            except LakeBusyError:
                if not left:
                    raise
                continue
            stack.enter_context(project.registry.held_still())
            began = time.perf_counter()
            place = project.settings.location("lake")
            if place.is_local:
                _link(place.local, held["lake"])
            else:
                data = keep_logs(place, versions_of(project.lake), held["lake"])
                remote |= {f"lake/{name}": stored for name, stored in data.items()}
            _copy_registry(project.registry, held["mlflow"], database=database)
            if (artifacts := project.settings.artifacts) is not None:
                runs = [version.run_id for version in project.registry.versions()]
                models = files_of(artifacts, runs)
                remote |= {f"mlflow/{ARTIFACTS}/{name}": stored for name, stored in models.items()}
            return time.perf_counter() - began
    raise AssertionError("the last attempt returns or raises")


def _hold_lake(project: Project, stack: ExitStack) -> None:
    """Hold the writers of the tables; on object storage there is no lock for that."""
    if project.settings.location("lake").is_local:
        for table in _in_lock_order(project.lake):
            stack.enter_context(table.lock())


def _in_lock_order(lake: Lake) -> list[Table]:
    return sorted(lake.tables, key=lambda table: (table.name not in _NESTED, lake.tables.index(table)))


def _copy_registry(registry: Registry, target: Path, *, database: bool) -> None:
    _link(registry.folder, target)
    shutil.rmtree(target / CACHE, ignore_errors=True)  # copies of what is elsewhere
    for path in target.glob(f"{DATABASE}*"):  # links to files that MLflow writes to
        path.unlink()
    if database:
        registry.copy_database(target)


def _copy_stream(source: Path, target: Path) -> None:
    """Copy what waits in a stream's store while messages come; states that the lake holds are left out."""
    for path in sorted(source.glob("shard-*.sqlite")):
        copy_sqlite(path, target / path.name)
    if (source / "shards").exists():
        shutil.copy2(source / "shards", target / "shards")


def _copy_journal(source: Path, target: Path) -> None:
    """The prediction log, and the answers of the page `/label` as of one moment, which others may be writing."""
    _link(source, target)
    answers = store_path(source)
    for path in target.glob(f"{answers.name}*"):  # links to files that the service writes to
        path.unlink()
    if answers.exists():
        copy_sqlite(answers, store_path(target))


def _link(source: Path, target: Path) -> None:
    """Give all files below `source` a second name below `target`; files that are appended to are copied.

    A file system without hard links gets copies of all.
    """
    for path in _files(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            if path.suffix in (".jsonl", ".sums", ".commits"):
                shutil.copy2(path, place)
                continue
            try:
                os.link(path, place)
            except FileNotFoundError:
                raise
            except OSError:
                shutil.copy2(path, place)


def _link_bentos(store: Path, target: Path) -> None:
    busy = BackupError(
        where=str(store), problem="a model is being packaged", remedy="Run the same command again when that has ended."
    )
    with locked(store / "package.lock", timeout_s=60, busy=busy):
        for kind in ("models", "bentos"):
            _link(store / kind, target / kind)


def _named(part: str, path: Path) -> Iterator[tuple[str, Path]]:
    """Names in the archive and paths of the files of a part, which is a folder or a file."""
    if path.is_file():
        yield f"{part}/{path.name}", path
    for file in _files(path):
        yield f"{part}/{file.relative_to(path).as_posix()}", file


def _files(folder: Path) -> Iterator[Path]:
    """All plain files, in order; no link is followed, and locks and staged files are left out."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(_STAGED))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.endswith(".lock") and not path.is_symlink() and path.is_file():
                yield path
