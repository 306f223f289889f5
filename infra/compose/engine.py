"""Which container engine is here, and which of the compose programs speaks to it.

ENGINE=podman (or docker) chooses the engine; STACK_COMPOSE names a compose program that is not on the path.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from har.errors import ServerError

ENGINES = ("docker", "podman")
_ANSWER_S = 60.0

Run = Callable[[Sequence[str]], "tuple[int, str]"]
"""Runs a command; returns its exit status and its output."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers, and a compose program for it.

    Attributes:
        name: "docker" or "podman".
        compose: the command, before its options.
    """

    name: str
    compose: tuple[str, ...]

    @property
    def probes_itself(self) -> bool:
        """Whether the engine runs health checks by itself; podman does so only where systemd runs its timers."""
        return self.name == "docker" or Path("/run/systemd/system").is_dir()


def find_engine(variables: Mapping[str, str], run: Run | None = None, *, first: str = "") -> Engine:
    """The engine of this machine: the one that ENGINE names, or the first that answers.

    Args:
        variables: of the environment.
        run: for tests.
        first: the one that is tried before the other, as the setting `images.engine` says.

    Raises:
        ServerError: there is none, it does not answer, or it has no compose program.
    """
    run = run or output
    wanted = variables.get("ENGINE", "")
    if wanted and wanted not in ENGINES:
        raise ServerError(
            where="ENGINE",
            expected=f"one of {', '.join(ENGINES)}",
            got=repr(wanted),
            remedy="Images can be built with others, but containers are run by these: ENGINE=podman make stack.",
        )
    problems = []
    for name in [wanted] if wanted else sorted(ENGINES, key=lambda name: name != first):
        if shutil.which(name) is None:
            problems.append(f"{name} is not installed")
            continue
        status, text = run([name, "info"])
        if status == 0:
            return Engine(name, _compose_of(name, variables, run))
        problems.append(f"{name} does not answer ({_last_line(text)})")
    raise ServerError(
        where="container engine",
        expected="docker or podman, running",
        got="; ".join(problems),
        remedy="Install or start one of them; `make up` runs the same system as processes, without containers.",
    )


def _compose_of(engine: str, variables: Mapping[str, str], run: Run) -> tuple[str, ...]:
    if named := variables.get("STACK_COMPOSE"):
        return tuple(shlex.split(named))
    if engine == "docker":
        if run(["docker", "compose", "version"])[0] == 0:
            return ("docker", "compose")
        if shutil.which("docker-compose"):
            return ("docker-compose",)
        remedy = "Install the plugin: package docker-compose-plugin."
    else:
        beside = Path(sys.executable).with_name("podman-compose")
        found = shutil.which("podman-compose") or (str(beside) if beside.exists() else None)
        if found:
            return (found,)
        remedy = "Install it, for example with `uv tool install podman-compose==1.6.0`."
    raise ServerError(
        where=engine,
        expected="`docker compose`, `docker-compose` or `podman-compose`",
        got="none of them",
        remedy=f"{remedy} A program elsewhere is named by STACK_COMPOSE.",
    )


def output(command: Sequence[str], timeout_s: float | None = _ANSWER_S) -> tuple[int, str]:
    """Run a command to its end; returns its exit status and what it printed, with its errors if it failed.

    Args:
        command: with its arguments.
        timeout_s: None for what may take any time, such as fetching an image.
    """
    try:
        done = subprocess.run(
            list(command),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {timeout_s:g} s"
    # Engines also warn while they succeed, which is no part of the answer.
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no message"
