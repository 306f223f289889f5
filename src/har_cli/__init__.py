"""The `har` command: runs jobs, and shows and changes the registry. One file per noun.

Slow imports are made where they are used, so that `har --help` answers at once. No job starts a server.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from infra.local.environment import quiet_environment

os.environ.update({name: value for name, value in quiet_environment().items() if name not in os.environ})

import typer
from rich.console import Console

from har.errors import HarError
from har_cli import drift, importing, labels, models, predictions, project, recordings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False
)
app.command()(project.demo)
app.command()(recordings.replay)
app.command("import")(importing.import_recordings)
app.command()(recordings.ingest)
app.command()(models.train)
app.command()(models.evaluate)
app.command()(predictions.score)
app.command()(predictions.collect)
app.command()(drift.monitor)
app.command()(labels.labels)
app.command()(models.package)
app.command("models")(models.list_models)
app.command()(models.promote)
app.command()(models.rollback)
app.command()(models.reproduce)
app.command()(project.status)
app.command()(project.check)
app.command()(project.up)


@contextlib.contextmanager
def _errors_as_messages() -> Iterator[None]:
    try:
        yield
    except HarError as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}[/]: {error}", highlight=False, soft_wrap=True)
        sys.exit(2)


def main() -> None:
    """Run the command line; a `HarError` ends it with its message and status 2."""
    with _errors_as_messages():
        app()
