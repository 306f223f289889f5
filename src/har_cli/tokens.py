"""Commands about the online service's tokens: list, add, replace, remove; each holds at once, without a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from har_cli._shared import out

Name = Annotated[str, typer.Argument(help="Whose token it is, such as gym-tablet.", show_default=False)]

app = typer.Typer(no_args_is_help=True, help="Tokens of those who may give feedback to the online service.")


@app.command("list")
def list_all() -> None:
    """List names and fingerprints; a token itself is shown only when it is made."""
    from har.tokens import list_tokens

    tokens = list_tokens(_file())
    if not tokens:
        out.print("There is no token yet: har tokens add NAME.", highlight=False)
        return
    table = Table("name", "fingerprint")
    for token in tokens:
        table.add_row(token.name, token.fingerprint)
    out.print(table)


@app.command()
def add(name: Name) -> None:
    """Make a token for somebody, and print it."""
    from har.tokens import add_token

    print(add_token(_file(), name))


@app.command()
def rotate(name: Name) -> None:
    """Replace a token, and print the new one; the former one is refused from now on."""
    from har.tokens import rotate_token

    print(rotate_token(_file(), name))


@app.command()
def remove(name: Name) -> None:
    """Take a token away; feedback that came with it stays, and keeps its name."""
    from har.tokens import remove_token

    remove_token(_file(), name)
    out.print(f"The token {name} is refused from now on.", highlight=False)


def _file() -> Path:
    from har.settings import load_settings

    return load_settings().path("feedback_token")
