"""Deploy the schedules of prefect.yaml to the configured server, whose worker then runs the code of this folder.

The server is that of PREFECT_API_URL, with PREFECT_API_AUTH_STRING as its login where it asks for one; without the
variable, that of `make up` in this folder. `prefect deploy` records the folder that it is run in: run this step in the
folder that the worker shall run in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from har.console import console
from har.errors import ServerError
from har.settings import load_settings
from infra.delivery._step import run_step
from infra.local.environment import quiet_environment
from infra.local.server import running_server, server_environment
from infra.local.worker import WORK_POOL, deployments

_TIMEOUT_S = 300.0
_PREFECT = (str(Path(sys.executable).with_name("prefect")), "--no-prompt")


def server_of(root: Path) -> dict[str, str]:
    """The environment variables with which Prefect finds the server.

    Raises:
        ServerError: none is configured, and none runs in this folder.
    """
    home = root / ".prefect"
    own = running_server(home)
    given = os.environ.get("PREFECT_API_URL", "").strip()
    if given and given != own:
        return server_environment(home, given, own=False)
    if own:
        return server_environment(home, own)
    raise ServerError(
        where="PREFECT_API_URL",
        expected="the address of the Prefect server that shall run the schedules, such as http://127.0.0.1:4200/api",
        got="none, and `make up` does not run in this folder",
        remedy="Set the variable (on GitHub and GitLab a variable of the repository), or start `make up`.",
    )


def deploy(root: Path) -> list[str]:
    """Make the work pool if it is missing, deploy everything in prefect.yaml, and return the deployments.

    Raises:
        ServerError: no server, or it refuses; has the end of Prefect's output.
    """
    server = server_of(root)
    # A secret that is not set arrives as an empty one, and would be sent as a login.
    inherited = {name: value for name, value in os.environ.items() if value or not name.startswith("PREFECT_API_")}
    environment = {**quiet_environment(), **inherited, **server, "HAR_ROOT": str(root)}
    if _run(root, environment, "work-pool", "inspect", WORK_POOL).returncode:
        _required(_run(root, environment, "work-pool", "create", WORK_POOL, "--type", "process"), server)
    _required(_run(root, environment, "deploy", "--all"), server)
    return deployments(root)


def _run(root: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_PREFECT, *words],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


def _required(done: subprocess.CompletedProcess[str], server: dict[str, str]) -> None:
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-5:])
        raise ServerError(
            where=f"Prefect server at {server['PREFECT_API_URL']}",
            problem=f"`prefect {' '.join(done.args[2:])}` ended with {done.returncode}",
            remedy="Check that it runs, and PREFECT_API_AUTH_STRING if it asks for a login. Prefect's output ends:\n"
            f"{tail}",
        )


def _main() -> int:
    settings = load_settings()
    try:
        names = deploy(settings.root)
    except subprocess.TimeoutExpired as error:
        raise ServerError(
            where="Prefect server",
            problem=f"`{' '.join(error.cmd[2:])}` did not finish within {_TIMEOUT_S:g} s",
            remedy="Run the step again when the server answers.",
        ) from error
    console.print(f"Deployed from {settings.root}: {', '.join(names)}.", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    run_step(_main)
