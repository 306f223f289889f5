"""The stack in containers as a place for a release, driven by `_stack_release` alone.

Shares of the traffic need a `har.release.Serving` for the two boxes; then `har.release.Controller` drives it as it does
processes, and this file goes.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from har.errors import ReleaseError
from har.jobs import release as job
from infra.delivery.online._history import History
from infra.delivery.online.candidate import Candidate
from infra.delivery.online.smoke import client

_SETTLED = 30
"""The new version serves once so many new connections in a row were answered by it."""
_SETTLE_PAUSE_S = 0.1
_SWITCH_TIMEOUT_S = 180.0


class Site(Protocol):
    """A place where the online service runs.

    Attributes:
        address: where clients reach it.
        history: its releases.
    """

    @property
    def address(self) -> str:
        """Where clients reach the service."""

    @property
    def history(self) -> History:
        """Its releases."""

    def serving(self) -> str:
        """What it serves: a bento's tag or an image; "" if nothing was released yet."""

    def place(self, candidate: Candidate) -> str:
        """Bring the candidate to this place, without serving it; returns what `switch` calls it.

        Raises:
            ModelError: it is damaged.
            ReleaseError: it is not there.
        """

    def beside(self, what: str) -> AbstractContextManager[str]:
        """Run it beside the service that clients use, during the block; yields its address, once it is started."""

    def switch(self, what: str) -> None:
        """Let it serve, and wait until it alone does.

        Raises:
            ReleaseError: it does not.
        """


@dataclass(frozen=True)
class Containers:
    """The online box of the stack in containers (`make stack`); the box alone is replaced.

    The new version starts in the other one of its two boxes; the proxy lets it serve once it is healthy.

    Attributes:
        root: the project's folder.
        image: of the candidate, as `make images` named it; None: of a roll back, which needs none.
        engine: docker or podman.
        address: where clients reach the service.
    """

    root: Path
    image: str | None
    engine: str
    address: str

    @property
    def history(self) -> History:
        """Its releases: `.stack/releases.jsonl`."""
        return History(self.root / ".stack" / "releases.jsonl")

    def serving(self) -> str:
        """The image that `.stack/images.env` names for the online box."""
        path = self.root / ".stack" / "images.env"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return next((line.partition("=")[2] for line in lines if line.startswith("STACK_ONLINE_IMAGE=")), "")

    def place(self, candidate: Candidate) -> str:
        """The image of the candidate, which the engine has to have."""
        key = candidate.online.partition(":")[2]
        image = self.image or candidate.online
        found = self._run(["image", "inspect", image])
        if found.returncode or not image.endswith(f":{key}"):
            raise ReleaseError(
                where=f"image {image}",
                expected=f"the image of {candidate.online}, with its version as tag, in {self.engine}",
                got=found.stderr.strip()[-200:] or "another version",
                remedy="Build it: make images; or name it: make release IMAGE=…",
            )
        return image

    @contextlib.contextmanager
    def beside(self, what: str) -> Iterator[str]:
        """Run the image as the stack does, on a free port of this machine; its prediction log is thrown away."""
        options = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--publish=127.0.0.1::3000"]
        tmpfs = [f"--tmpfs={folder}" for folder in ("/tmp", "/home/bentoml/tmp", "/home/bentoml/data:mode=1777")]  # noqa: S108
        started = self._run(["run", "--detach", *options, *tmpfs, what])
        if started.returncode:
            raise ReleaseError(
                where=f"image {what}",
                problem=f"does not start: {started.stderr.strip()[-400:]}",
                remedy="Build it again.",
            )
        container = started.stdout.strip()
        try:
            port = self._run(["port", container, "3000/tcp"]).stdout.strip().rpartition(":")[2]
            yield f"http://127.0.0.1:{port}"
        finally:
            self._run(["rm", "--force", container])

    def switch(self, what: str) -> None:
        """Replace the box by the stack's own command, which puts the old one back if the new one is not healthy."""
        done = subprocess.run(
            [sys.executable, "-m", "infra.compose", "release", "online", what],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ReleaseError(
                where=f"image {what}",
                problem="was not taken by the stack",
                remedy=f"It said:\n{(done.stderr or done.stdout).strip()[-1500:]}",
            )
        await_version(self.address, number_of(what))

    def _run(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.engine, *arguments], capture_output=True, text=True, check=False)


def number_of(what: str) -> int:
    """The model's version of a bento's tag or an image.

    Raises:
        ReleaseError: its tag is none that `har package` gives.
    """
    number = job.number_of(what)
    if not number:
        raise ReleaseError(
            where=what,
            expected="a tag such as v12-0a1b2c3d, as har package gives",
            got=repr(what.rpartition(":")[2]),
            remedy="Package the version with har package.",
        )
    return number


def await_version(address: str, version: int) -> None:
    """Wait until the service answers, on new connections and without exception, that it serves the version.

    Raises:
        ReleaseError: it does not in three minutes.
    """
    give_up = time.monotonic() + _SWITCH_TIMEOUT_S
    in_a_row, last = 0, ""
    while in_a_row < _SETTLED:
        try:
            with client(address) as service:
                answer = service.get("/model")
                last = str(answer.json()["version"]) if answer.status_code == 200 else f"status {answer.status_code}"
        except (httpx.HTTPError, ValueError, KeyError) as error:
            last = str(error) or type(error).__name__
        in_a_row = in_a_row + 1 if last == str(version) else 0
        if time.monotonic() > give_up:
            raise ReleaseError(
                where=address,
                expected=f"version {version} within {_SWITCH_TIMEOUT_S:g} s",
                got=last,
                remedy="See the log of what serves there: har logs, or make stack-logs SERVICE=online-blue.",
            )
        time.sleep(_SETTLE_PAUSE_S)
