"""Build, serve and store bentos with BentoML in the project's store, for `har.jobs.package`."""

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
from har.inference import Classifier, Package
from har.registry import git_state
from har.settings import Settings
from infra.bentoml.store import Store, environment, serving
from infra.local.child import Child

LABELS_VARIABLE = "BENTO_IMAGE_LABELS"
"""`bentos.base` names it as well: `bentos` insists on the `har` of its own project, so it is not imported here."""

_BUILD_TIMEOUT_S = 600.0
_LOCK_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class ProjectBentos:
    """The bentos of one project; implements `har.jobs.package.Bentos`.

    Attributes:
        root: the project's folder.
        store: BentoML's home.
    """

    root: Path
    store: Path

    @classmethod
    def of(cls, settings: Settings) -> ProjectBentos:
        """The bentos of the project with these settings."""
        return cls(settings.root, settings.path("bentoml"))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock for packaging.

        Raises:
            PackagingError: another process holds it for more than a quarter of an hour.
        """
        busy = PackagingError(
            where=str(self.store),
            problem=f"another process has been packaging for more than {_LOCK_TIMEOUT_S:g} s",
            remedy="Wait until it ends, then try again.",
        )
        with locked(self.store / "package.lock", timeout_s=_LOCK_TIMEOUT_S, busy=busy):
            yield

    def holds(self, *tags: str) -> bool:
        """Whether all of these models or bentos exist and are complete."""
        return Store(self.store).holds(*tags)

    def point_at(self, *tags: str) -> None:
        """Let the tag `latest` mean these models and bentos."""
        Store(self.store).point_at(*tags)

    def all_or_nothing(self, version: str) -> AbstractContextManager[None]:
        """Remove models and bentos of this version first, and again if the block fails; `latest` is then restored."""
        return Store(self.store).all_or_nothing(version)

    def build(self, name: str, version: str, folder: Path, bentofiles: tuple[str, ...]) -> list[str]:
        """Store the package in `folder` as a model and build a bento of it from each bentofile; returns the tags.

        Raises:
            PackagingError: BentoML fails or does not finish in ten minutes; has the end of its log.
        """
        result = folder.with_name("tags.json")
        child = Child(
            "building the bentos",
            ["infra.bentoml.build", name, version, str(folder), str(self.root), str(result), *bentofiles],
            # BentoML's own temporary files as well: what a killed build leaves is removed with the folder.
            environment={
                **os.environ,
                **environment(self.store),
                "TMPDIR": str(folder.parent),
                LABELS_VARIABLE: json.dumps(_labels(name, version, folder, self.root)),
            },
            log=self.store / "logs" / "build.log",
            folder=self.root,
        )
        try:
            status = child.wait(_BUILD_TIMEOUT_S)
            problem = f"failed with exit status {status}" if status else ""
        except subprocess.TimeoutExpired:
            problem = f"did not finish within {_BUILD_TIMEOUT_S:g} s"
        finally:
            child.stop()
        if problem:
            raise PackagingError(
                where=child.name,
                problem=problem,
                remedy=f"Fix the error in the log. {child.log} ends:\n{child.tail()}",
            )
        tags: list[str] = json.loads(result.read_text(encoding="utf-8"))
        return tags

    @contextlib.contextmanager
    def serving(self, tag: str, settings: Mapping[str, str]) -> Iterator[str]:
        """Serve a bento during the block; yields its address once it is ready.

        Raises:
            PackagingError: the bento does not start; has the end of its log.
        """
        try:
            with serving(tag, self.root, self.store, log=self._log(tag), settings=settings) as address:
                yield address
        except ServerError as error:
            raise PackagingError(**{**error.parts(), "where": f"bento {tag}"}) from error

    def log_end(self, tag: str) -> str:
        """The path and the last lines of the log of a bento that was served."""
        log = self._log(tag)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        return f"{log} ends:\n" + "\n".join(lines)

    def _log(self, tag: str) -> Path:
        return self.store / "logs" / f"{tag.partition(':')[0]}.log"


def _labels(name: str, version: str, folder: Path, root: Path) -> dict[str, str]:
    """Labels of the images that are made of the bentos; the same for the same model and code."""
    package = Package.read(folder)
    model = Classifier(package.model, threads=1).metadata
    return {
        "org.opencontainers.image.title": name,
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": git_state(root).recorded,
        "org.opencontainers.image.created": model.trained_at,
        "har.model.version": str(package.version),
        "har.model.revision": model.git_commit,
        "har.data.version": model.data_version,
    }
