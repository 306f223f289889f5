"""Let the command `bentoml`, in a project's folder, use the project's store and send no telemetry.

BentoML's command loads this module (entry point `bentoml.commands`) before it reads its home. Nothing of `har` or
`bentos` is imported here: a bento that this command serves must import its own copy of them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from infra.bentoml.store import SHARED_PORT, environment

_SETTINGS = "har.toml"
_DEFAULT = ".bentoml"
_PORT = "3000"
_LONGEST_FOLDER = 90


def project_store(start: Path) -> Path | None:
    """The store of the project that the folder `start` is in; None outside of a project."""
    root = next((folder for folder in (start, *start.parents) if (folder / _SETTINGS).is_file()), None)
    if root is None:
        return None
    path = root / _SETTINGS
    try:
        written: str = tomllib.loads(path.read_text(encoding="utf-8-sig")).get("paths", {}).get("bentoml", _DEFAULT)
    except UnicodeDecodeError:
        sys.exit(f"{path}: expected text in UTF-8, but got another encoding. Save the file as UTF-8.")
    except tomllib.TOMLDecodeError as error:
        sys.exit(f"{path}: expected TOML, but got {error}. Fix the line; strings need quotes.")
    return (root / os.environ.get("HAR_PATHS__BENTOML", written)).resolve()


@click.command(name="project", help="Print the folder of this project's models and bentos.")
def command() -> None:
    """Print BentoML's home."""
    click.echo(os.environ.get("BENTOML_HOME", f"no project here: no {_SETTINGS} in this folder or above"))


def refuse_taken_port(arguments: Sequence[str], variables: Mapping[str, str]) -> None:
    """End `bentoml serve` in a sentence if its port is in use; BentoML would show a traceback.

    Args:
        arguments: of the command `bentoml`.
        variables: of the environment.

    Raises:
        SystemExit: the port is in use.
    """
    if arguments[:1] != ["serve"] or "--help" in arguments or "-h" in arguments or SHARED_PORT in variables:
        return
    port = _option(arguments, "-p", "--port") or variables.get("BENTOML_PORT") or _PORT
    host = _option(arguments, "--host") or variables.get("BENTOML_HOST") or "127.0.0.1"
    if not port.isdigit():
        return  # BentoML says so itself
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, int(port)))
    except (OSError, OverflowError) as error:
        sys.exit(
            f"port {port} of {host}: expected a free port, but got {error}. "
            "Stop what uses it, or choose another one: bentoml serve --port 3001."
        )


def _option(arguments: Sequence[str], *names: str) -> str | None:
    for before, one in zip(("", *arguments), arguments, strict=False):
        if before in names:
            return one
        name, equals, value = one.partition("=")
        if equals and name in names:
            return value
    return None


def _set_environment() -> None:
    store = project_store(Path(os.environ.get("HAR_ROOT") or Path.cwd()).resolve())
    if store is not None:
        os.environ.update({name: value for name, value in environment(store).items() if name not in os.environ})


def _keep_control_private() -> None:
    """Let BentoML's process manager take orders through files in a private folder.

    By default it listens on two ports of this machine without a login, and whoever can reach them, such as another user
    here, can have it run commands (circus in 1.4.39; there is no setting).
    """
    from bentoml._internal.utils import circus

    def create(watchers: list[Any], *, threaded: bool = False, **options: Any) -> Any:
        folder = tempfile.mkdtemp(prefix="har-serve-")
        if len(folder) > _LONGEST_FOLDER:  # a socket's path has 107 characters at most
            Path(folder).rmdir()
            folder = tempfile.mkdtemp(prefix="har-serve-", dir="/tmp")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        kind = circus.ThreadedArbiter if threaded else circus.Arbiter
        ends = {"endpoint": f"ipc://{folder}/orders", "pubsub_endpoint": f"ipc://{folder}/events"}
        return kind(watchers, **{"check_delay": 10, **options, **ends})

    circus.create_standalone_arbiter = create


def _share_port() -> None:
    """Bind the port together with another process of this user, and let the worker begin to listen once it is ready.

    BentoML's process manager would listen before its worker has loaded the model: connections that could have gone to
    the service that is replaced would wait for it.
    """
    from circus.sockets import CircusSocket  # type: ignore[import-untyped]

    listens = CircusSocket.bind_and_listen

    def bind(self: Any) -> None:
        if self.is_unix:
            listens(self)
            return
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.setblocking(False)
        self.bind((self.host, self.port))
        self.host, self.port = self.getsockname()[:2]

    CircusSocket.bind_and_listen = bind


_set_environment()
if sys.argv[1:2] == ["serve"]:
    refuse_taken_port(sys.argv[1:], os.environ)
    _keep_control_private()
    if SHARED_PORT in os.environ:
        _share_port()
    # BentoML itself ends without a word.
    atexit.register(print, "Stopped: bentoml serve.", file=sys.stderr)
