"""The Typer application: all commands under their names. One file per noun."""

from __future__ import annotations

from typing import Annotated

import typer

from har_cli import (
    backups,
    check_device,
    data,
    drift,
    engine,
    exporting,
    importing,
    labels,
    lake,
    logs,
    models,
    predictions,
    project,
    recordings,
    release,
    serving,
    stream,
    stream_send,
    stream_state,
    tls,
    tokens,
    top,
    tuning,
)

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False
)
app.command()(project.demo)
app.command()(recordings.replay)
app.command("import")(importing.import_recordings)
app.command("check-device")(check_device.check_device)
app.command()(recordings.ingest)
app.command("recordings")(recordings.list_recordings)
app.command()(exporting.export)
app.add_typer(data.app, name="data")
app.command()(models.train)
app.command()(models.evaluate)
app.command()(tuning.tune)
app.command()(predictions.score)
app.command()(predictions.collect)
app.command()(drift.monitor)
app.command()(labels.labels)
app.command()(stream_state.baselines)
stream.app.command()(stream_state.rebuild)
stream.app.command()(stream_state.history)
app.command()(models.package)
app.command("models")(models.list_models)
app.command()(models.promote)
app.command()(models.rollback)
app.add_typer(release.app, name="release")
app.command()(serving.scale)
stream.app.command()(stream_send.send)
stream.app.command()(stream_send.replay)
app.add_typer(stream.app, name="stream")
app.command()(models.reproduce)
app.command()(project.status)
app.command()(engine.engine)
app.command()(top.top)
app.command()(logs.logs)
app.command()(project.check)
app.add_typer(lake.app, name="lake")
app.command()(project.up)
app.add_typer(tokens.app, name="tokens")
app.command()(tls.tls)
app.command()(backups.backup)
app.command()(backups.restore)


@app.callback()
def _options(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error comes from.")] = False,
) -> None:
    """Human activity recognition from wearable sensors: recordings in, activities out."""
