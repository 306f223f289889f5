"""The stack's commands: `python -m infra.compose COMMAND`; the make targets call them.

Exit status: 0 done, 1 a part does not work, 2 refused (the message has the way out).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from har.errors import HarError, SettingsError, StorageError
from har.settings import load_settings
from infra.compose import champion, release
from infra.compose.secret_files import NAMES, OF_STREAM, renew_secrets
from infra.compose.stack import FURTHER, PROFILES, SERVICES, Stack
from infra.compose.starting import start
from infra.compose.state import BOXES, State

_IN_WORKER = ["python", "-m", "infra.compose.inside.run"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = options.command
        return command(options)
    except SettingsError as error:
        return _say(error, 2)
    except HarError as error:
        return _say(error, 1)


def _up(options: argparse.Namespace) -> int:
    start(_stack(), options.profile, Console())
    return 0


def _down(_options: argparse.Namespace) -> int:
    _stack().down()
    print("Stopped. The volumes, the secrets and the choices stay: make stack starts it again.")
    return 0


def _status(options: argparse.Namespace) -> int:
    stack = _stack()
    parts = stack.parts()
    if options.json:
        print(json.dumps([vars(part) for part in parts]))
    else:
        table = Table("service", "state", "healthy", "image", title=f"The stack {stack.state.project}")
        for part in parts:
            box = dict.fromkeys(("prefect", "mlflow", "worker", "stream"), "train").get(part.service, part.service)
            image = stack.state.boxes.get(part.service.removeprefix("online-"), stack.state.images.get(box, ""))
            table.add_row(part.service, part.state, "yes" if part.healthy else "no", image)
        Console().print(table)
    return 0 if all(part.healthy for part in parts if part.container) and any(part.container for part in parts) else 1


def _logs(options: argparse.Namespace) -> int:
    stack = _stack()
    return subprocess.run(
        stack.command("logs", "--tail", str(options.tail), *(["-f"] if options.follow else []), *options.service),
        env=stack.environment(),
        cwd=stack.root,
        check=False,
    ).returncode


def _compose(options: argparse.Namespace) -> int:
    stack = _stack()
    return subprocess.run(stack.command(*options.rest), env=stack.environment(), cwd=stack.root, check=False).returncode


def _run(options: argparse.Namespace) -> int:
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return _stack().run_in("worker", [*_IN_WORKER, *options.rest], terminal=terminal)


def _put(options: argparse.Namespace) -> int:
    """Send files as a tar stream, with names as the inbox has them: DATE/SUBJECT_SESSION.csv."""
    stack = _stack()
    container = stack.require("worker")
    command = [stack.engine.name, "exec", "-i", container, *_IN_WORKER, "python", "-m", "infra.compose.inside.receive"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as receiver:
        assert receiver.stdin is not None  # noqa: S101  a pipe was asked for
        with receiver.stdin as pipe, tarfile.open(fileobj=pipe, mode="w|") as archive:
            for path in options.path:
                if not path.exists():
                    receiver.kill()
                    raise StorageError(
                        where=str(path), expected="a file or folder", got="none", remedy="Correct the path."
                    )
                # A folder's content, and a file with the folder that gives its date.
                archive.add(path, arcname="." if path.is_dir() else str(Path(path.resolve().parent.name, path.name)))
    return receiver.returncode


def _get(options: argparse.Namespace) -> int:
    stack = _stack()
    source = f"{stack.require('worker')}:/srv/har/{options.folder}"
    return subprocess.run([stack.engine.name, "cp", source, str(options.to)], check=False).returncode


def _images(options: argparse.Namespace) -> int:
    return champion.refresh(_stack(), Console(), base=options.base)


def _release(options: argparse.Namespace) -> int:
    release.release(_stack(), options.box, options.image, Console())
    return 0


def _renew(options: argparse.Namespace) -> int:
    root, name = _project()
    state = State.load(root, name, os.environ)
    renew_secrets(state.secrets, options.name)
    print("Renewed. `make stack` hands it to all that need it: stop the stack before, if it runs.")
    return 0


def _stack() -> Stack:
    settings = load_settings()
    return Stack.open(settings.root, settings.project.name, engine=settings.images.engine)


def _project() -> tuple[Path, str]:
    settings = load_settings()
    return settings.root, settings.project.name


def _say(error: HarError, status: int) -> int:
    Console(stderr=True).print(f"[red]{type(error).__name__}[/]: {error}", highlight=False, soft_wrap=True)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.compose", description="The whole system in containers.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    up = add("up", _up, "start it, wait until all is healthy, print the addresses")
    all_but = f"these only; by default all but {', '.join(FURTHER)}"
    up.add_argument("--profile", action="append", default=[], choices=[*PROFILES, *FURTHER], help=all_but)
    add("down", _down, "stop it; volumes stay")
    add("status", _status, "show the parts; ends with 1 if one is not healthy").add_argument(
        "--json", action="store_true"
    )
    logs = add("logs", _logs, "show what the services wrote")
    groups = (*SERVICES.values(), *FURTHER.values())
    logs.add_argument("service", nargs="*", choices=[[], *(one for group in groups for one in group)])
    logs.add_argument("--tail", type=int, default=100)
    logs.add_argument("-f", "--follow", action="store_true")
    put = add("put", _put, "copy recordings into the inbox: folders with DATE/SUBJECT_SESSION.csv, or such files")
    put.add_argument("path", nargs="+", type=Path)
    get = add("get", _get, "copy a folder of the worker to this machine")
    get.add_argument("folder", choices=["reports", "data/quarantine", "runs"])
    get.add_argument("to", type=Path)
    images = add("images", _images, "build the champion's images, and replace the boxes that have another version")
    images.add_argument("--base", default="", help="another base image than the pinned one")
    rel = add("release", _release, "let another image serve; if it does not become healthy, the former one goes on")
    rel.add_argument("box", choices=[box for box in BOXES if box != "train"])
    rel.add_argument("image")
    add("renew", _renew, "make new secrets").add_argument("name", nargs="+", metavar="|".join((*NAMES, *OF_STREAM)))
    add("run", _run, "run a command in the worker, with the logins").add_argument("rest", nargs=argparse.REMAINDER)
    add("compose", _compose, "the compose program for this stack").add_argument("rest", nargs=argparse.REMAINDER)
    return parser


if __name__ == "__main__":
    sys.exit(main())
