"""BentoML's store inside the project: find and remove models and bentos, set `latest`, serve a bento.

Nothing of `har` is imported at the top: the `bentoml` command loads this module, and a bento that it serves must import
its own copy. BentoML runs in separate processes, because it has one store and one import path per process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from infra.local.child import Child
from infra.local.environment import quiet_environment

SHARED_PORT = "STACK_SHARED_PORT"
"""Set for `bentoml serve` by a supervisor that holds the port: two services of this user may then listen on it while
one replaces the other."""

_START_TIMEOUT_S = 120.0


def environment(store: Path) -> dict[str, str]:
    """Variables that make BentoML keep models and bentos in `store`, and keep this machine's paths out of them.

    Without the second, BentoML would add the address that it was installed from to the bento's requirements.
    """
    return {"BENTOML_HOME": str(store), "BENTOML_NO_LOCAL_URL": "true", **quiet_environment(chatter=True)}


class Store:
    """Models and bentos of one project, in the folders `models/<name>/<version>` and `bentos/<name>/<version>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def holds(self, *tags: str) -> bool:
        """Whether all of these models or bentos exist and are complete."""
        return all(self._find(tag) is not None for tag in tags)

    def point_at(self, *tags: str) -> None:
        """Let the tag `latest` mean these models and bentos; BentoML itself would choose the newest one."""
        for tag in tags:
            folder = self._find(tag)
            if folder is not None:
                draft = folder.parent / f".latest-{os.getpid()}"
                draft.write_text(folder.name, encoding="utf-8")
                draft.replace(folder.parent / "latest")

    @contextlib.contextmanager
    def all_or_nothing(self, version: str) -> Iterator[None]:
        """Remove models and bentos of this version first, and again if the block fails; `latest` is then restored."""
        self._remove(version)
        pointers = {path: path.read_bytes() for path in self.folder.glob("*/*/latest")}
        try:
            yield
        except BaseException:
            self._remove(version)
            for path in self.folder.glob("*/*/latest"):
                if path not in pointers:
                    path.unlink()
            for path, content in pointers.items():
                path.write_bytes(content)
            raise

    def _find(self, tag: str) -> Path | None:
        name, _, version = tag.partition(":")
        for kind, record in (("models", "model.yaml"), ("bentos", "bento.yaml")):
            folder = self.folder / kind / name / version
            if version and (folder / record).is_file():
                return folder
        return None

    def _remove(self, version: str) -> None:
        for kind in ("models", "bentos"):
            for folder in (self.folder / kind).glob(f"*/{version}"):
                shutil.rmtree(folder)


@contextlib.contextmanager
def serving(
    target: str, root: Path, store: Path, *, log: Path, settings: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run `bentoml serve` on a free local port during the block; yields the address once it is ready.

    Args:
        target: a bento's tag, or "." for the project's online service.
        root: the project's folder.
        store: BentoML's home.
        log: file for its output.
        settings: HAR_ variables for the service.

    Raises:
        ServerError: it stopped or was not ready in time; has the end of its log.
    """
    from infra.local.server import HOST, wait_for

    with socket.socket() as chosen:
        chosen.bind((HOST, 0))
        port = chosen.getsockname()[1]
    variables = {**os.environ, **environment(store), "HAR_ROOT": str(root), **(settings or {})}
    arguments = ["bentoml", "serve", target, "--host", HOST, "--port", str(port)]
    service = Child(f"`bentoml serve {target}`", arguments, environment=variables, log=log, folder=root)
    try:
        address = f"http://{HOST}:{port}"
        wait_for(service, f"{address}/readyz", _START_TIMEOUT_S)
        yield address
    finally:
        service.stop()
