"""The online service under load, in turn with its peers: rates, times, and what it takes of the machine."""

from __future__ import annotations

import contextlib
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from har.inference import granted_cores
from tests.bench import PEER_MODEL, _box, _load
from tests.bench._load import Load
from tests.bench._project import Project, make
from tests.bench._server import Server, serving

SERVICE = ["bentoml", "serve", "bentos.online.service:Online"]
CONNECTIONS = 16
_BODIES = 64
_STARTS = 3


@dataclass
class _Cell:
    """One route of one server, and what was measured there."""

    name: str
    server: str
    requests: str
    busy: list[Load] = field(default_factory=list)
    alone: list[Load] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(load.rate for load in self.busy)

    @property
    def spread(self) -> float:
        return statistics.median(load.p99_us / load.p50_us for load in self.alone)

    def p_ms(self, which: str) -> float:
        return statistics.median(getattr(load, f"{which}_us") for load in self.alone) / 1000


CELLS = {
    "raw": ("/predict/raw", "ours", "raw"),
    "bare_raw": ("bare Starlette, float32", "bare", "raw"),
    "json": ("/predict", "ours", "json"),
    "bare_json": ("bare Starlette, JSON by orjson", "bare", "json"),
    "fastapi": ("FastAPI with pydantic models", "fastapi", "json"),
    "stock": ("stock BentoML, typed endpoint", "stock", "json"),
}
_PAIRS = {
    "online_raw_vs_bare": ("raw", "bare_raw"),
    "online_json_vs_bare": ("json", "bare_json"),
    "online_json_vs_stock_bento": ("json", "stock"),
    "online_json_vs_fastapi_pydantic": ("json", "fastapi"),
}


def measure(folder: Path, *, rounds: int = 9, seconds: int = 2, console: Console) -> dict[str, Any]:
    """Serve, load, compare.

    Args:
        folder: an empty one, for everything that is made.
        rounds: every server has its turn in each; ratios are taken within a round, then their median.
        seconds: of load, per turn; short ones, so that a pair of turns meets the same machine.
        console: says what is going on.
    """
    with console.status("Making a package to serve …"):
        project = make(folder)
    with console.status("Installing the online service's packages into an environment of their own …"):
        python = _box.install(folder / "box")
    with console.status("Starting it …"):
        own = _start_and_load(project, folder, python)
    cells = {key: _Cell(*cell) for key, cell in CELLS.items()}
    with contextlib.ExitStack() as stack, console.status("Loading it, in turn with its peers …"):
        servers = {"ours": stack.enter_context(ours(project, folder / "ours.log")), **_peers(stack, project, folder)}
        _load_all(cells, servers, project, folder / "requests", rounds, seconds)
    _print(console, cells)
    return {
        **{key: round(_ratio(cells[mine], cells[theirs]), 2) for key, (mine, theirs) in _PAIRS.items()},
        "online_p99_over_p50_c1": round(cells["json"].spread, 2),
        "bare_p99_over_p50_c1": round(cells["bare_json"].spread, 2),
        "online_requests_per_s": round(cells["json"].rate),
        "online_raw_requests_per_s": round(cells["raw"].rate),
        "online_cpu_us": round(statistics.median(cells["json"].cpu_us)),
        "online_raw_cpu_us": round(statistics.median(cells["raw"].cpu_us)),
        "bare_json_cpu_us": round(statistics.median(cells["bare_json"].cpu_us)),
        "bare_raw_cpu_us": round(statistics.median(cells["bare_raw"].cpu_us)),
        "online_p50_ms_c1": round(cells["json"].p_ms("p50"), 3),
        "online_p99_ms_c1": round(cells["json"].p_ms("p99"), 3),
        "bare_json_requests_per_s": round(cells["bare_json"].rate),
        "bare_raw_requests_per_s": round(cells["bare_raw"].rate),
        "fastapi_pydantic_requests_per_s": round(cells["fastapi"].rate),
        "stock_bento_requests_per_s": round(cells["stock"].rate),
        **own,
    }


def ours(project: Project, log: Path, python: Path | None = None) -> contextlib.AbstractContextManager[Server]:
    """The project's online service, all of it: request ids, limits, prediction log, metrics."""
    chosen = {} if python is None else {"python": python}
    return serving(SERVICE, environment=project.environment, ready="/readyz", log=log, **chosen)


def requests(project: Project, folder: Path) -> None:
    """Prepared requests of one window each: `json` and `raw`."""
    windows = _load.made_up(_BODIES, project.settings.length, project.channels)
    _load.write(folder / "json", [_load.post_json(window[None]) for window in windows])
    _load.write(folder / "raw", [_load.post_raw(window[None]) for window in windows])


def _start_and_load(project: Project, folder: Path, python: Path | None) -> dict[str, Any]:
    """Size, time to the first good answer of /readyz, and memory, in the box of its own where there is one."""
    requests(project, folder / "requests")
    size = None if python is None else round(_box.size_mb(python), 1)
    ready_s = []
    for number in range(_STARTS):
        with ours(project, folder / f"start-{number}.log", python) as server:
            ready_s.append(server.ready_s)
            if number == _STARTS - 1:
                for kind in ("json", "raw", "json"):
                    _load.send(server.port, folder / "requests" / kind, connections=CONNECTIONS, seconds=3)
                memory = server.worker_rss_mb(), server.supervisor_rss_mb()
    return {
        "online_dependencies_mb": size,
        "online_ready_s": round(statistics.median(ready_s), 2),
        "online_rss_mb": round(memory[0]),
        "online_supervisor_rss_mb": round(memory[1]),
    }


def _peers(stack: contextlib.ExitStack, project: Project, folder: Path) -> dict[str, Server]:
    usual = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    peers = {
        "bare": (["uvicorn", "tests.bench._peer_starlette:app", *usual], "/readyz"),
        "fastapi": (["uvicorn", "tests.bench._peer_fastapi:app", *usual], "/readyz"),
        "stock": (["bentoml", "serve", "tests.bench._peer_bento:Stock"], "/readyz"),
    }
    return {
        name: stack.enter_context(
            serving(
                arguments,
                environment={PEER_MODEL: str(project.model), "BENTOML_HOME": str(folder / f"{name}-store")},
                ready=ready,
                log=folder / f"{name}.log",
            )
        )
        for name, (arguments, ready) in peers.items()
    }


def _load_all(
    cells: dict[str, _Cell], servers: dict[str, Server], project: Project, folder: Path, rounds: int, seconds: int
) -> None:
    def send(cell: _Cell, connections: int, duration: int) -> Load:
        return _load.send(servers[cell.server].port, folder / cell.requests, connections=connections, seconds=duration)

    for cell in cells.values():
        send(cell, CONNECTIONS, 2)
    for number in range(rounds):
        # There and back, so that what changes on the machine meanwhile favours nobody.
        turn = list(cells.values())[:: 1 if number % 2 == 0 else -1]
        for cell in turn:
            before = servers[cell.server].cpu_s()
            cell.busy.append(send(cell, CONNECTIONS, seconds))
            spent = servers[cell.server].cpu_s() - before
            cell.cpu_us.append(1e6 * spent / cell.busy[-1].requests)
        for cell in turn:
            cell.alone.append(send(cell, 1, 1))
        project.empty_journal()


def _ratio(mine: _Cell, theirs: _Cell) -> float:
    return statistics.median(a.rate / b.rate for a, b in zip(mine.busy, theirs.busy, strict=True))


def _print(console: Console, cells: dict[str, _Cell]) -> None:
    table = Table(title=f"One 128×6 window a request, one worker each, {granted_cores()} cores, wrk among them")
    table.add_column("server")
    for title in (
        f"requests/s ({CONNECTIONS} connections)",
        "least – most",
        "CPU µs",
        "p50 ms (1 connection)",
        "p99 ms",
    ):
        table.add_column(title, justify="right")
    for cell in cells.values():
        rates = [load.rate for load in cell.busy]
        table.add_row(
            cell.name,
            f"{cell.rate:,.0f}",
            f"{min(rates):,.0f} – {max(rates):,.0f}",
            f"{statistics.median(cell.cpu_us):,.0f}",
            f"{cell.p_ms('p50'):.2f}",
            f"{cell.p_ms('p99'):.2f}",
        )
    console.print(table)
