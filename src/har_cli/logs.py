"""`har logs`: the log lines of everything that runs here, as people read them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from har.errors import SettingsError
from har.logs import parse, readable, subject_names
from har.settings import Settings, load_settings
from har_cli._shared import out

Level = Literal["debug", "info", "warning", "error", "critical"]
_LEVELS: tuple[str, ...] = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}
_POLL_S = 0.3

Line = Mapping[str, Any]


def logs(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Beginnings of file names: online, worker, haproxy."),
    ] = None,
    request: Annotated[str | None, typer.Option(metavar="ID", help="About this request only.")] = None,
    subject: Annotated[str | None, typer.Option(metavar="NAME", help="About this subject's requests only.")] = None,
    flow_run: Annotated[str | None, typer.Option("--run", metavar="ID", help="Of this flow run only.")] = None,
    level: Annotated[Level, typer.Option(help="The least level.")] = "debug",
    tail: Annotated[int, typer.Option(min=1, help="At most so many lines, the newest.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The lines as they are, for programs.")] = False,
) -> None:
    """Show what the services, flows and servers of `make up` wrote, from all files in order of time."""
    settings = load_settings()
    folders = (settings.root / ".prefect" / "logs", settings.path("bentoml") / "logs")
    files = [path for folder in folders for path in sorted(folder.glob("*.log*"))]
    if services:
        files = [path for path in files if path.name.startswith(tuple(services))]
    if not files:
        raise SettingsError(
            where=str(folders[0]),
            expected="log files" + (f" whose name begins with {' or '.join(services)}" if services else ""),
            got="none",
            remedy="Start the services: make up. It names the folder of its logs.",
        )
    wanted = _filter(settings, request, subject, flow_run, level)
    found = sorted(_lines((path for path in files), wanted), key=lambda one: one[0])
    for _, text in found[-tail:]:
        _show(text, as_json)
    if follow:
        _follow([path for path in files if path.suffix == ".log"], wanted, as_json)


def _filter(
    settings: Settings, request: str | None, subject: str | None, flow_run: str | None, level: str
) -> Callable[[Line], bool]:
    names = {subject}
    if subject is not None and settings.path("log_key").is_file():  # as lines with pseudonyms name it
        names.add(subject_names("pseudonym", settings.path("log_key"))(subject))
    least = _LEVELS.index(level.upper())

    def wanted(line: Line) -> bool:
        rank = _LEVELS.index(line["level"]) if line["level"] in _LEVELS else 1
        return (
            rank >= least
            and (request is None or line.get("request_id") == request)
            and (flow_run is None or str(line.get("flow_run_id", "")).startswith(flow_run))
            and (subject is None or line.get("subject") in names)
        )

    return wanted


def _lines(files: Iterable[Path], wanted: Callable[[Line], bool]) -> Iterator[tuple[str, str]]:
    """The lines that are wanted, each with its time; lines of older releases are no JSON and are left out."""
    for path in files:
        with path.open(encoding="utf-8", errors="replace") as stream:
            for text in stream:
                line = parse(text)
                if line is not None and wanted(line):
                    yield str(line["time"]), text.rstrip("\n")


def _show(text: str, as_json: bool) -> None:
    if as_json:
        out.print(text, highlight=False, markup=False, soft_wrap=True)
        return
    line = parse(text) or {}
    said = readable(text)
    if line.get("logger") not in ("stdout", "stderr"):
        said = re.sub(r"^\S+ \S+ ", "", said)  # time and level, which stand in front already
    head = f"{str(line.get('time', ''))[:23]}Z {line.get('level', ''):<8} {line.get('service', ''):<14} "
    style = _STYLES.get(str(line.get("level")), "")
    out.print(Text.assemble((head, "dim"), (said, style)), soft_wrap=True)


def _follow(files: list[Path], wanted: Callable[[Line], bool], as_json: bool) -> None:
    places = {path: path.stat().st_size for path in files}
    while True:
        for path in files:
            size = path.stat().st_size
            if size < places[path]:  # it went on from its beginning
                places[path] = 0
            with path.open("rb") as stream:
                stream.seek(places[path])
                whole, newline, _ = stream.read().rpartition(b"\n")
            places[path] += len(whole) + len(newline)
            for text in whole.decode(errors="replace").splitlines():
                line = parse(text)
                if line is not None and wanted(line):
                    _show(text, as_json)
        time.sleep(_POLL_S)
