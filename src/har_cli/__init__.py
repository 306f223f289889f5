"""The `har` command: runs jobs, and shows and changes the registry. One file per noun.

Slow imports are made where they are used, so that `har --help` answers at once. No job starts a server.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

from infra.local.environment import quiet_environment

os.environ.update({name: value for name, value in quiet_environment().items() if name not in os.environ})

import typer

from har_cli import drift, importing, labels, models, predictions, project, recordings
from har_cli._endings import ending_well

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


@app.callback()
def _options(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error comes from.")] = False,
) -> None:
    """Human activity recognition from wearable sensors: recordings in, activities out."""


def main() -> None:
    """Run the command line; see `har_cli._endings` for its exit statuses."""
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    with ending_well(f"har {command}".strip()):
        app()
