"""Programs of other projects that the local stack runs where they are installed: Prometheus and Alertmanager.

HAProxy has a package of its own, `infra.serving`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from har.files import make_folder, write_atomically
from har.settings import Settings
from infra.local.child import Child
from infra.local.part import Part, Say, process_answers
from infra.local.server import HOST
from infra.observability import alertmanager as _alertmanager
from infra.observability import prometheus as _prometheus
from infra.observability.prometheus import Job

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
"""Debian keeps haproxy in a folder that is not on everybody's PATH."""
_NAMES = {"alertmanager": ("alertmanager", "prometheus-alertmanager")}


def installed(program: str) -> str | None:
    """The path of a program; None if it is not installed."""
    names = _NAMES.get(program, (program,))
    return next((path for path in (shutil.which(name, path=_PATH) for name in names) if path), None)


def prometheus(
    program: str,
    folder: Path,
    port: int,
    jobs: Mapping[str, Job],
    logs: Path,
    say: Say,
    *,
    project: str = "",
    alerts: str = "",
) -> Part:
    """Prometheus, which reads the metrics of the other parts and keeps them for 30 days.

    Args:
        program: its path.
        folder: for its configuration and its data.
        port: to listen on.
        jobs: what it reads.
        logs: folder for its log.
        say: gets a line when its state changes.
        project: its name, which alerts carry.
        alerts: `host:port` of Alertmanager; "": there is none.
    """
    from infra.observability.query import note_address  # brings httpx, for which a command that aborts would wait

    text = "# Written by `make up`.\n" + _prometheus.configuration(jobs, project=project, alertmanager=alerts)
    file = write_atomically(make_folder(folder) / "prometheus.yml", text)
    note_address(folder, f"http://{HOST}:{port}")
    command = _prometheus.command(program, file, folder / "data", f"{HOST}:{port}")
    return _part("Prometheus", command, port, "/-/ready", logs / "prometheus.log", say)


def alertmanager(program: str, settings: Settings, folder: Path, port: int, logs: Path, say: Say) -> Part:
    """Alertmanager, which tells the people that `[alerts]` in har.toml names.

    Args:
        program: its path.
        settings: of the project.
        folder: for its configuration and its data.
        port: to listen on.
        logs: folder for its log.
        say: gets a line when its state changes.
    """
    text = "# Written by `make up`.\n" + _alertmanager.configuration(settings)
    file = write_atomically(make_folder(folder) / "alertmanager.yml", text, private=True)
    command = _alertmanager.command(program, file, folder / "data", f"{HOST}:{port}")
    return _part("Alertmanager", command, port, "/-/ready", logs / "alertmanager.log", say)


def exporter(settings: Settings, port: int, logs: Path, say: Say) -> Part:
    """The exporter of the project's own figures.

    Args:
        settings: of the project.
        port: to listen on.
        logs: folder for its log.
        say: gets a line when its state changes.
    """

    def start() -> Child:
        arguments = ["infra.observability.exporter", "--root", str(settings.root), "--port", str(port)]
        return Child("exporter", arguments, environment=os.environ, log=logs / "exporter.log", folder=settings.root)

    return Part("exporter", f"http://{HOST}:{port}", start, lambda child: process_answers(child, port, "/metrics"), say)


def _part(name: str, command: list[str], port: int, ready: str, log: Path, say: Say) -> Part:
    def start() -> Child:
        return Child(name, ["infra.local.program", *command], environment=os.environ, log=log)

    return Part(name, f"http://{HOST}:{port}", start, lambda child: process_answers(child, port, ready), say)
