"""The exporter of the project's figures: `python -m infra.observability.exporter` serves /metrics to Prometheus.

Each source is read in the background, by a thread of its own, and a scrape gets what was read last: it waits for
nothing, and a source that hangs or fails leaves the others alone. `har_exporter_last_success_timestamp_seconds` says
how old the figures of each source are.
"""

from __future__ import annotations

import argparse
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app
from prometheus_client.registry import Collector

from har.errors import HarError, ServerError
from har.project import Project
from har.settings import Settings, load_settings
from infra.local.door import add_door, door
from infra.local.server import sigterm_ends_blocks
from infra.observability.figures import (
    Flows,
    Gauge,
    LakeFigures,
    Monitoring,
    disk,
    files,
    gauge,
    hot_store,
    journal,
    model,
    release,
    stream,
)

EVERY_S = 15.0
"""How often a source is read, by default; the release, the prediction log and the stream three times as often."""

_SOON = 1 / 3


@dataclass(frozen=True)
class Part:
    """A source of figures.

    Attributes:
        name: in `har_exporter_…{part="…"}`.
        read: reads it.
        every_s: pause between two reads.
    """

    name: str
    read: Callable[[], list[Gauge]]
    every_s: float = EVERY_S


@dataclass(frozen=True)
class _Read:
    """The last reading of a part; `found` is of the last one that succeeded, `ok` None before the first."""

    found: tuple[Gauge, ...] = ()
    ok: bool | None = None
    took_s: float = 0.0
    succeeded: float | None = None


class Exporter(Collector):
    """The figures of some parts, as they were read last.

    Args:
        parts: the sources.
        say: gets a line when a part begins to fail, and when it can be read again.
    """

    def __init__(self, parts: Iterable[Part], say: Callable[[str], None]) -> None:
        self._parts = tuple(parts)
        self._say = say
        self._last = {part.name: _Read() for part in self._parts}
        self._problems: dict[str, str] = {}
        self._stopping = threading.Event()

    def start(self) -> None:
        """Read in the background from now on."""
        for part in self._parts:
            threading.Thread(target=self._keep_reading, args=(part,), name=part.name, daemon=True).start()

    def stop(self) -> None:
        """Read no more; returns at once."""
        self._stopping.set()

    def read(self, part: Part) -> bool:
        """Read a part now; False if it failed."""
        before = self._last[part.name]
        began = time.perf_counter()
        try:
            found = tuple(part.read())
        except Exception as error:  # noqa: BLE001  whatever fails: the others go on, and the figures say so
            problem = f"{type(error).__name__}: {error}"
            self._last[part.name] = _Read(before.found, False, time.perf_counter() - began, before.succeeded)
        else:
            problem = ""
            self._last[part.name] = _Read(found, True, time.perf_counter() - began, time.time())
        if problem != self._problems.get(part.name, ""):
            self._problems[part.name] = problem
            self._say(f"{part.name}: {problem or 'can be read again'}")
        return not problem

    def read_all(self) -> bool:
        """Read every part once; False if one failed."""
        results = [self.read(part) for part in self._parts]
        return all(results)

    def collect(self) -> Iterator[Metric]:
        """What was read last, and how that went."""
        last = {name: one for name, one in self._last.items() if one.ok is not None}
        for one in last.values():
            yield from one.found
        yield gauge(
            "exporter_ok",
            "1: the part could be read",
            {n: float(bool(one.ok)) for n, one in last.items()},
            labels=["part"],
        )
        yield gauge(
            "exporter_read_seconds",
            "Time of the last read",
            {n: one.took_s for n, one in last.items()},
            labels=["part"],
        )
        yield gauge(
            "exporter_last_success_timestamp_seconds",
            "When the part was last read without an error",
            {n: one.succeeded for n, one in last.items() if one.succeeded is not None},
            labels=["part"],
        )

    def _keep_reading(self, part: Part) -> None:
        while not self._stopping.is_set():
            self.read(part)
            self._stopping.wait(part.every_s)


def parts(settings: Settings, every_s: float = EVERY_S) -> list[Part]:
    """The sources of a project's figures."""
    lake = Project(settings).lake
    soon_s = every_s * _SOON
    return [
        Part("release", lambda: release(settings), soon_s),
        Part("journal", lambda: journal(settings), soon_s),
        Part("stream", lambda: stream(settings), soon_s),
        Part("hot", lambda: hot_store(settings), every_s),
        Part("files", lambda: files(settings), every_s),
        Part("disk", lambda: disk(settings), every_s),
        Part("model", lambda: model(settings), every_s),
        Part("flows", Flows(settings.root / ".prefect", lake), every_s),
        Part("lake", LakeFigures(lake), every_s),
        Part("monitoring", Monitoring(lake, settings.project.zone), every_s),
    ]


def registry_of(exporter: Exporter) -> CollectorRegistry:
    """A registry with the exporter's figures and those of this process."""
    registry = CollectorRegistry()
    registry.register(exporter)
    ProcessCollector(registry=registry)
    return registry


def serve(exporter: Exporter, listener: socket.socket) -> None:
    """Serve /metrics on a listening socket until SIGTERM or Ctrl-C."""
    host, port = listener.getsockname()[:2]

    class Server(ThreadingWSGIServer):
        def server_bind(self) -> None:
            self.socket.close()
            self.socket = listener
            self.server_name, self.server_port = host, port
            self.setup_environ()

        def server_activate(self) -> None:
            pass  # it listens already

    with make_server(host, port, make_wsgi_app(registry_of(exporter)), Server, handler_class=_Quiet) as server:
        exporter.start()
        try:
            server.serve_forever()
        finally:
            exporter.stop()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not worth a line."""


def main(arguments: list[str] | None = None) -> int:
    """Serve, or print the figures once; the arguments are those of the command."""
    parser = argparse.ArgumentParser(description="Serve the project's figures to Prometheus.")
    add_door(parser)
    parser.add_argument("--root", type=Path, help="the project's folder; by default this one or the nearest above")
    parser.add_argument(
        "--every", type=float, default=EVERY_S, help=f"seconds between two reads, by default {EVERY_S:g}"
    )
    parser.add_argument(
        "--once", action="store_true", help="print the figures and end, with 1 if a part cannot be read"
    )
    options = parser.parse_args(arguments)
    try:
        exporter = Exporter(parts(load_settings(options.root), options.every), _say)
        if options.once:
            read = exporter.read_all()
            sys.stdout.write(generate_latest(registry_of(exporter)).decode())
            return 0 if read else 1
        with sigterm_ends_blocks():
            serve(exporter, _listener(options))
    except HarError as error:
        _say(f"{type(error).__name__}: {error}")
        return 1
    except (KeyboardInterrupt, SystemExit):
        return 0
    return 0


def _listener(options: argparse.Namespace) -> socket.socket:
    try:
        return door(options)
    except OSError as error:
        raise ServerError(
            where=f"{options.bind}:{options.port}",
            expected="an address that is free",
            got=str(error),
            remedy="Choose another one with --port.",
        ) from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
