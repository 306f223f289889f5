"""The container engine of this machine: docker, podman or buildah, whichever is there and answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from har.errors import PackagingError

ENGINES = ("docker", "podman", "buildah")
"""In the order in which they are tried."""
VARIABLE = "ENGINE"

_ANSWER_TIMEOUT_S = 30.0
_LAST_LINES = 15


@dataclass(frozen=True)
class Engine:
    """One engine, called by its command.

    Attributes:
        name: docker, podman or buildah.
    """

    name: str

    @property
    def runs(self) -> bool:
        """Whether it runs containers: buildah only builds."""
        return self.name != "buildah"

    def require_running(self) -> None:
        """Refuse an engine that cannot run containers.

        Raises:
            PackagingError: it is buildah.
        """
        if not self.runs:
            raise PackagingError(
                where="buildah",
                expected="an engine that runs containers",
                got="one that only builds images",
                remedy="Install docker or podman, and name it: ENGINE=podman.",
            )

    def call(self, *arguments: str, where: str, remedy: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a command of the engine; returns its output.

        Raises:
            PackagingError: it failed; has the end of its messages.
        """
        done = self._run(arguments, environment)
        if done.returncode:
            raise PackagingError(
                where=where,
                problem=f"`{self.name} {arguments[0]}` failed: {_end(done.stderr or done.stdout)}",
                remedy=remedy,
            )
        return done.stdout

    def exists(self, image: str) -> bool:
        """Whether this machine has the image."""
        return self._run(("inspect", "--type", "image", image), None).returncode == 0

    def images(self, name: str) -> list[str]:
        """The images of this machine with that name, as NAME:TAG."""
        listed = self._run(("images", "--format", "{{.Repository}}:{{.Tag}}"), None).stdout.split()
        if self.name == "buildah":
            listed = self._run(("images", "--format", "{{.Name}}:{{.Tag}}"), None).stdout.split()
        return sorted(one.removeprefix("localhost/") for one in listed if one.rpartition(":")[0].endswith(name))

    def require_image(self, image: str) -> None:
        """Refuse the name of an image that this machine does not have.

        Raises:
            PackagingError: names those that it has.
        """
        if self.exists(image):
            return
        name = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
        raise PackagingError(
            where=f"image {image}",
            expected="an image of this machine",
            got=f"none with this tag; there are: {', '.join(self.images(name)) or 'none of this name'}",
            remedy=f"Build it (make images), fetch it ({self.name} pull {image}), or name one that is there.",
        )

    def inspect(self, image: str) -> dict[str, Any]:
        """What the engine says about an image: `Config`, with `Healthcheck` if it has one, `Size` …

        Raises:
            PackagingError: there is no such image.
        """
        self.require_image(image)
        told = json.loads(self.call("inspect", "--type", "image", image, where=f"image {image}", remedy="See above."))
        found: dict[str, Any] = told[0] if isinstance(told, list) else told
        if "Healthcheck" in found:  # podman has it beside the rest
            found["Config"].setdefault("Healthcheck", found["Healthcheck"])
        return found

    def size_mb(self, image: str) -> float:
        """Size of all its layers, uncompressed, in MB (10^6 bytes)."""
        self.require_running()
        return round(float(self.inspect(image)["Size"]) / 1e6, 1)

    def log(self, identity: str) -> str:
        """The last lines that a container wrote, to either of its outputs."""
        done = self._run(("logs", "--tail", str(_LAST_LINES), identity), None)
        return (done.stdout + done.stderr).strip() or "nothing"

    @contextmanager
    def container(self, image: str, *arguments: str, command: Sequence[str] = ()) -> Iterator[str]:
        """Run a container in the background during the block; yields its id. It and its volumes are removed after it.

        Raises:
            PackagingError: there is no such image, or it does not start.
        """
        self.require_running()
        self.require_image(image)
        started = self.call(
            "run", "--detach", *arguments, image, *command, where=f"image {image}", remedy="See the message above."
        )
        identity = started.strip().splitlines()[-1]
        try:
            yield identity
        finally:
            self._run(("rm", "--force", "--volumes", identity), None)

    def _run(self, arguments: Sequence[str], environment: Mapping[str, str] | None) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, **(environment or {})}
        command = [self.name, *arguments]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=variables)


def find_engine(wanted: str = "", *, first: str = "") -> Engine:
    """The engine to use.

    Args:
        wanted: its name; "": the variable ENGINE, else the first that answers.
        first: the one that is tried before the others of `ENGINES`, as the setting `images.engine` says.

    Raises:
        PackagingError: there is none, or the wanted one does not answer.
    """
    wanted = wanted or os.environ.get(VARIABLE, "")
    if wanted and Path(wanted).name not in ENGINES:
        raise PackagingError(
            where=VARIABLE,
            expected=f"one of {', '.join(ENGINES)}",
            got=repr(wanted),
            remedy="Name one of these, or leave it out: the first that answers is used.",
        )
    tried = {}
    for name in [wanted] if wanted else sorted(ENGINES, key=lambda name: name != first):
        tried[name] = _silence(name)
        if not tried[name]:
            return Engine(name)
    raise PackagingError(
        where="container engine",
        expected="docker, podman or buildah",
        got="; ".join(f"{name}: {why}" for name, why in tried.items()),
        remedy="Install one (Debian: apt install podman), or start docker. All else works without: make up.",
    )


def _silence(name: str) -> str:
    """Why an engine cannot be used; "" if it can. A docker command without its daemon is no engine."""
    if shutil.which(name) is None:
        return "not installed"
    question = ("info",) if name == "docker" else ("--version",)
    try:
        done = subprocess.run(
            [name, *question], capture_output=True, text=True, errors="replace", check=False, timeout=_ANSWER_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not answer ({type(error).__name__})"
    return f"does not answer ({_end(done.stderr or done.stdout, 1)})" if done.returncode else ""


def _end(text: str, lines: int = _LAST_LINES) -> str:
    return "\n".join(text.strip().splitlines()[-lines:]) or "no message"
