"""How `har.jobs.package` builds, serves and stores bentos: with BentoML, in the project's own store."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from har.errors import PackagingError, ServerError
from har.files import locked
from har.settings import Settings
from infra.bentoml.store import Store, environment, serving
from infra.local.child import Child

_BUILD_TIMEOUT_S = 600.0
_LOCK_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class ProjectBentos:
    """One project's bentos.

    Attributes:
        root: the project's folder.
        store: BentoML's home.
    """

    root: Path
    store: Path

    @classmethod
    def of(cls, settings: Settings) -> ProjectBentos:
        """Those of the project with these settings."""
        return cls(settings.root, settings.path("bentoml"))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one that packages.

        Raises:
            PackagingError: another process has packaged for a quarter of an hour.
        """
        busy = PackagingError(
            where=str(self.store),
            expected=f"the store to be free within {_LOCK_TIMEOUT_S:g} s",
            got="another process that packages",
            remedy="Wait for it to end, then try again.",
        )
        with locked(self.store / "package.lock", timeout_s=_LOCK_TIMEOUT_S, busy=busy):
            yield

    def holds(self, *tags: str) -> bool:
        """Whether each of these models or bentos is there, whole."""
        return Store(self.store).holds(*tags)

    def point_at(self, *tags: str) -> None:
        """Make `latest` mean these models and bentos."""
        Store(self.store).point_at(*tags)

    def all_or_nothing(self, version: str) -> AbstractContextManager[None]:
        """Start without any model or bento of this version; a failed block leaves none, and `latest` as it was."""
        return Store(self.store).all_or_nothing(version)

    def build(self, name: str, version: str, folder: Path, bentofiles: tuple[str, ...]) -> list[str]:
        """Store the package in `folder` as a model and build a bento over it from each file; their tags.

        Raises:
            PackagingError: BentoML refuses, or takes longer than ten minutes; with the end of its log.
        """
        result = folder.with_name("tags.json")
        child = Child(
            "building the bentos",
            ["infra.bentoml.build", name, version, str(folder), str(self.root), str(result), *bentofiles],
            environment={**os.environ, **environment(self.store)},
            log=self.store / "logs" / "build.log",
            folder=self.root,
        )
        try:
            status: int | str = child.wait(_BUILD_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            status = f"none within {_BUILD_TIMEOUT_S:g} s"
        finally:
            child.stop()
        if status != 0:
            raise PackagingError(
                where=child.name,
                expected="exit status 0",
                got=str(status),
                remedy=f"Fix what its log says. {child.log} ends:\n{child.tail()}",
            )
        tags: list[str] = json.loads(result.read_text(encoding="utf-8"))
        return tags

    @contextlib.contextmanager
    def serving(self, tag: str, settings: Mapping[str, str]) -> Iterator[str]:
        """Serve a bento for a while; yields its address once it is ready.

        Raises:
            PackagingError: it does not start; with the end of its log.
        """
        try:
            with serving(tag, self.root, self.store, log=self._log(tag), settings=settings) as address:
                yield address
        except ServerError as error:
            raise PackagingError(
                where=f"bento {tag}", expected=error.expected, got=error.got, remedy=error.remedy
            ) from error

    def log_end(self, tag: str) -> str:
        """Where the log of a bento that was served lies, and its last lines."""
        log = self._log(tag)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        return f"{log} ends:\n" + "\n".join(lines)

    def _log(self, tag: str) -> Path:
        return self.store / "logs" / f"{tag.partition(':')[0]}.log"
