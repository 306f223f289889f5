"""Programs of other projects that the local stack runs where they are installed: HAProxy and Prometheus."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from har.files import make_folder, write_atomically
from infra.local.child import Child
from infra.local.part import Part, Say, process_answers
from infra.local.server import HOST
from infra.observability.query import note_address

PROXY_METRICS = "/proxy/metrics"
"""On the proxy's port: what HAProxy counts."""

Targets = Mapping[str, tuple[str, str]]
"""For each job of Prometheus the `host:port` and the path of its metrics."""

_KEEP = "30d"
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
"""Debian keeps haproxy in a folder that is not on everybody's PATH."""


def installed(program: str) -> str | None:
    """The path of a program; None if it is not installed."""
    return shutil.which(program, path=_PATH)


def proxy(program: str, folder: Path, port: int, online: int, logs: Path, say: Say) -> Part:
    """HAProxy in front of the online service.

    It adds `X-Forwarded-For`, so that whoever gives feedback through it needs the token.

    Args:
        program: its path.
        folder: for its configuration.
        port: to listen on.
        online: the port of the online service.
        logs: folder for its log.
        say: gets a line when its state changes.
    """
    configuration = write_atomically(make_folder(folder) / "haproxy.cfg", proxy_configuration(port, online))
    command = [program, "-db", "-f", str(configuration)]
    return _part("HAProxy", command, port, PROXY_METRICS, logs / "haproxy.log", say)


def prometheus(program: str, folder: Path, port: int, targets: Targets, logs: Path, say: Say) -> Part:
    """Prometheus, which reads the metrics of the other parts every 15 s and keeps them for 30 days.

    Args:
        program: its path.
        folder: for its configuration and its data.
        port: to listen on.
        targets: what it reads.
        logs: folder for its log.
        say: gets a line when its state changes.
    """
    configuration = write_atomically(make_folder(folder) / "prometheus.yml", prometheus_configuration(targets))
    note_address(folder, f"http://{HOST}:{port}")
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={_KEEP}",
        f"--web.listen-address={HOST}:{port}",
        # By default, any web page may read its answers.
        f"--web.cors.origin=http://{HOST}:{port}",
        "--log.level=warn",
    ]
    return _part("Prometheus", command, port, "/-/ready", logs / "prometheus.log", say)


def proxy_configuration(port: int, online: int) -> str:
    """The configuration of HAProxy on `port` in front of the service on `online`."""
    return f"""# Written by `make up`.
global
    maxconn 2048

defaults
    mode http
    option forwardfor
    option redispatch
    retries 2
    timeout connect 2s
    timeout queue 2s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
    timeout http-keep-alive 15s

frontend online
    bind {HOST}:{port}
    http-request use-service prometheus-exporter if {{ path {PROXY_METRICS} }}
    default_backend online

backend online
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host {HOST}:{online}
    http-check expect status 200
    server online {HOST}:{online} check inter 1s fall 2 rise 1
"""


def prometheus_configuration(targets: Targets) -> str:
    """The configuration of Prometheus for these jobs, each with its `host:port` and path."""
    jobs = [
        {"job_name": name, "metrics_path": path, "static_configs": [{"targets": [address]}]}
        for name, (address, path) in targets.items()
    ]
    content = {"global": {"scrape_interval": "15s", "scrape_timeout": "5s"}, "scrape_configs": jobs}
    return "# Written by `make up`.\n" + str(yaml.safe_dump(content, sort_keys=False))


def _part(name: str, command: list[str], port: int, ready: str, log: Path, say: Say) -> Part:
    def start() -> Child:
        return Child(name, ["infra.local.program", *command], environment=os.environ, log=log)

    address = f"http://{HOST}:{port}"
    return Part(name, address, start, lambda child: process_answers(child, port, ready), say)
