"""Files that were registered with a version: below the registry's folder, or downloaded once to the cache in it.

A file is found by its SHA-256, which is compared whenever the file is asked for. A copy in the cache that differs is
downloaded again; what differs where it was registered is refused.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from har.errors import HarError
from har.files import file_sha256, make_folder
from har.registry._backend import ARTIFACTS
from har.registry._snapshot import Row

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
        artifacts: the address on object storage where new files are; "": below the folder.
        client: connects to MLflow, which takes seconds: only where a file is in neither folder nor cache.
    """

    def __init__(self, folder: Path, name: str, artifacts: str, client: Callable[[], Any]) -> None:
        self._folder = folder
        self._name = name
        self._artifacts = artifacts
        self._client = client

    def path(self, row: Row, wanted: Wanted) -> Path:
        """The local path of a version's file, downloaded if needed; its hash is checked.

        Raises:
            HarError: of the wanted kind; the file is missing or was changed.
        """
        here = self.here(row, wanted.name)
        if here.exists():
            wanted.check(row, str(here), here)
            return here
        cached = self._folder / CACHE / wanted.digest / Path(wanted.name).name
        with contextlib.suppress(FileNotFoundError):
            if file_sha256(cached) == wanted.digest:
                return cached
        address = self._address(row)
        parsed = urlparse(address)
        if parsed.scheme in ("", "file"):
            path = Path(url2pathname(parsed.path) if parsed.scheme else address) / wanted.name
            wanted.check(row, str(path), path)
            return path
        make_folder(cached.parent)
        with self.download(row, wanted.name, cached.parent) as got:
            wanted.check(row, f"{address}/{wanted.name}", got)
            got.replace(cached)
        return cached

    def here(self, row: Row, name: str) -> Path:
        """Where a run's file is in this folder, which may have been moved, if it is there."""
        return self._folder / ARTIFACTS / row.run_id / ARTIFACTS / name

    @contextlib.contextmanager
    def download(self, row: Row, name: str, beside: Path | None = None) -> Iterator[Path]:
        """A copy of a run's file during the block, which may move it.

        Args:
            row: the version.
            name: path below the run's artifacts.
            beside: the folder to download to; None: a temporary one.
        """
        with tempfile.TemporaryDirectory(dir=beside) as folder:
            yield Path(self._fetch(row, name, folder))

    def _fetch(self, row: Row, name: str, folder: str) -> str:
        own = f"{self._artifacts}/{row.run_id}/{ARTIFACTS}"
        if self._artifacts and self._address(row) != own:  # as after a restore to another bucket
            from botocore.exceptions import ClientError
            from mlflow.artifacts import download_artifacts

            with contextlib.suppress(ClientError):  # it is where MLflow says
                return str(download_artifacts(artifact_uri=f"{own}/{name}", dst_path=folder))
        return str(self._client().download_artifacts(row.run_id, name, folder))

    def _address(self, row: Row) -> str:
        """The run's artifacts, as MLflow knows them."""
        source = self._client().get_model_version_download_uri(self._name, str(row.version))
        return str(source).rpartition("/")[0]
