"""What `make up` prints once its parts run: their addresses, the login, and what to try."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.local.login import USER, login_file
from infra.local.server import AUTH_VARIABLE
from infra.local.worker import deployments

_DATABASE_VARIABLES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")


@dataclass(frozen=True)
class Row:
    """A part: what it is, where it answers or "not installed", and a note."""

    what: str
    where: str
    note: str = ""


def of_database(address: str | None = None) -> str:
    """The note of a part whose database is a server: its host and name, without user and password.

    Args:
        address: of the database; None: Prefect's, from the environment.
    """
    if address is None:
        address = next((os.environ[name] for name in _DATABASE_VARIABLES if name in os.environ), "")
    parts = urlsplit(address)
    if not parts.hostname:
        return ""
    kind = parts.scheme.partition("+")[0]
    return f"{kind} at {parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def print_table(console: Console, root: Path, api: str, rows: list[Row], *, found_here: bool) -> None:
    """Print the parts, and how to use them.

    Args:
        console: to print on.
        root: the project's folder.
        api: the address of Prefect's API.
        rows: the parts.
        found_here: Prefect's commands in this folder find the server.
    """
    home = root / ".prefect"
    addresses = Table("what", "where", "note", title="The local stack is running")
    for row in rows:
        addresses.add_row(row.what, row.where, escape(row.note))
    console.print(addresses)
    # Not in the table: a narrow terminal would cut the paths off.
    console.print(f"Login of Prefect's and MLflow's pages: {login_file(home)}", soft_wrap=True, highlight=False)
    console.print(f"Logs: {home / 'logs'}", soft_wrap=True, highlight=False)
    console.print(
        f"Prefect's page asks for a password: the whole line of that file. MLflow's asks for a user, {USER}, and a "
        "password: what follows the colon.",
        highlight=False,
    )
    console.print("Try, in another terminal:", highlight=False)
    if found_here:
        console.print("  cd here: Prefect's commands find the server by prefect.toml. From elsewhere:", style="dim")
    console.print(f"  export PREFECT_API_URL={api}", soft_wrap=True, highlight=False)
    console.print(
        f'  export {AUTH_VARIABLE}="$(cat {shlex.quote(str(login_file(home)))})"', soft_wrap=True, highlight=False
    )
    for deployment in deployments(root):
        console.print(f"  .venv/bin/prefect deployment run '{deployment}' --watch", highlight=False)
    console.print("Ctrl-C stops everything.")
