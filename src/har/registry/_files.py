"""Files that were registered with a version: below the registry's folder, or downloaded once to the cache in it.

A file is found by its SHA-256, which is compared whenever the file is asked for. A copy in the cache that differs is
downloaded again; what differs where it was registered is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from har.errors import HarError
from har.files import file_sha256, temporary_folder, write_atomically
from har.registry._backend import ARTIFACTS
from har.registry._snapshot import Row
from har.storage import Location, Service

CACHE = "cache"


@dataclass(frozen=True)
class Wanted:
    """A registered file, and how its loss is told.

    Attributes:
        name: path below the run's artifacts.
        digest: its SHA-256.
        kind: the error.
        what: the file, in words.
        gone: the way out where it is missing.
        changed: the way out where it has other content.
    """

    name: str
    digest: str
    kind: type[HarError]
    what: str
    gone: str
    changed: str

    def check(self, row: Row, where: str, path: Path) -> None:
        """Refuse a file that is missing or has other content.

        Args:
            row: the version.
            where: the file's place, for the message.
            path: the file.
        """
        if not path.is_file():
            raise self.kind(where=f"version {row.version}, {where}", expected=self.what, got="none", remedy=self.gone)
        found = file_sha256(path)
        if found != self.digest:
            raise self.kind(
                where=f"version {row.version}, {where}",
                expected=f"the content that was registered (SHA-256 {self.digest[:12]}…)",
                got=f"other content ({found[:12]}…)",
                remedy=self.changed,
            )


class Files:
    """The files of one registry's versions.

    Args:
        folder: the registry's.
        name: the registered model's.
        artifacts: where new files are on object storage; None: below the folder.
        client: connects to MLflow, which takes seconds: only where a file is in none of these.
    """

    def __init__(self, folder: Path, name: str, artifacts: Location | None, client: Callable[[], Any]) -> None:
        self._folder = folder
        self._name = name
        self._artifacts = artifacts
        self._client = client

    def store(self, run: Any, path: Path, folder: str = "") -> None:
        """Store a file with a run of MLflow.

        Args:
            run: MLflow's.
            path: the file.
            folder: below the run's artifacts.
        """
        place = self._place(run.info.artifact_uri)
        if place is None:
            self._client().log_artifact(run.info.run_id, str(path), folder or None)
        else:
            (place / f"{folder}/{path.name}".lstrip("/")).write_bytes(path.read_bytes())

    def path(self, row: Row, wanted: Wanted) -> Path:
        """The local path of a version's file, downloaded if needed; its hash is checked.

        Raises:
            HarError: of the wanted kind; the file is missing or was changed.
            StoreError: object storage refuses.
        """
        here = self._here(row, wanted.name)
        if here.exists():
            wanted.check(row, str(here), here)
            return here
        cached = self._folder / CACHE / wanted.digest / Path(wanted.name).name
        with contextlib.suppress(FileNotFoundError):
            if file_sha256(cached) == wanted.digest:
                return cached
        with temporary_folder("registered") as folder:
            where, path = self._fetch(row, wanted.name, folder)
            wanted.check(row, where, path)
            if not path.is_relative_to(folder):
                return path
            write_atomically(cached, path.read_bytes())
        return cached

    def text(self, row: Row, name: str) -> str:
        """The text of a run's file, which has no hash."""
        here = self._here(row, name)
        if here.is_file():
            return here.read_text(encoding="utf-8")
        with temporary_folder("registered") as folder:
            return self._fetch(row, name, folder)[1].read_text(encoding="utf-8")

    def _here(self, row: Row, name: str) -> Path:
        """Where a run's file is in this folder, which may have been moved, if it is there."""
        return self._folder / ARTIFACTS / row.run_id / ARTIFACTS / name

    def _fetch(self, row: Row, name: str, folder: Path) -> tuple[str, Path]:
        """A run's file where it is on this machine, or a copy in `folder`; and its address, for messages."""
        target = folder / Path(name).name
        # In our own place first: MLflow need not be asked, and may still name the bucket that a backup came from.
        own = None if self._artifacts is None else self._artifacts / f"{row.run_id}/{ARTIFACTS}"
        if own is not None and _copied(own / name, target):
            return str(own / name), target
        source = self._client().get_model_version_download_uri(self._name, str(row.version))
        address = str(source).rpartition("/")[0]
        parsed = urlparse(address)
        if parsed.scheme in ("", "file"):
            path = Path(url2pathname(parsed.path) if parsed.scheme else address) / name
            return str(path), path
        place = self._place(address)
        if place is None:
            return f"{address}/{name}", Path(self._client().download_artifacts(row.run_id, name, str(folder)))
        _copied(place / name, target)
        return str(place / name), target

    def _place(self, address: str) -> Location | None:
        """An address of object storage as a place; None: MLflow itself reaches it."""
        if not address.startswith("s3://"):
            return None
        return Location(address, Service() if self._artifacts is None else self._artifacts.service)


def _copied(source: Location, target: Path) -> bool:
    """Copy a file; False: there is none."""
    try:
        target.write_bytes(source.read_bytes())
    except FileNotFoundError:
        return False
    return True
