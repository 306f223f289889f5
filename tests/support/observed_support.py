"""A small running system that Prometheus reads: a served model behind HAProxy, Prefect, the exporter, Alertmanager."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import yaml
from hot_support import state as subject_state
from monitoring_support import day_report
from ports_support import free_port
from serving_support import (
    CHECKOUT,
    Served,
    bentoml_serving,
    eventually,
    make_rule,
    movements,
    set_traps,
    store_package,
    train_model,
)

from har.inference import Package
from har.lake import Lake
from har.monitoring.drift import DriftReports, Performance
from har.registry import Promotion
from har.release import Releases, State
from har.settings import Settings, load_settings
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.queue import open_queue
from har.streaming.state import open_hot
from har.streaming.state._state import now_us
from infra.local.server import starting_server
from infra.observability import alertmanager
from infra.observability.figures import known_server
from infra.observability.prometheus import RULES, Job, command, configuration, write_targets
from infra.serving.proxy import Options, Runtime, Split
from infra.serving.proxy import configuration as proxy_configuration
from infra.serving.proxy.configuration import DECODE, DECODER, MAP, METRICS
from infra.serving.state import Place, Replica, Running

PROGRAMS = ("haproxy", "prometheus", "prometheus-alertmanager")
MISSING = [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")]
TOKEN = "token-of-the-webhook"  # noqa: S105


@dataclass
class Receiver:
    """A webhook that keeps what Alertmanager sends."""

    port: int
    alerts: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)


@dataclass
class System:
    """What runs."""

    settings: Settings
    served: Served
    proxy: str
    exporter: str
    prometheus: str
    receiver: Receiver

    def ask(self, promql: str) -> list[dict[str, Any]]:
        """The series of an expression now.

        Raises:
            AssertionError: Prometheus refuses it.
        """
        answer = httpx.post(f"{self.prometheus}/api/v1/query", data={"query": promql}, timeout=10)
        content = answer.json()
        assert content["status"] == "success", f"{promql}: {content.get('error')}"
        found: list[dict[str, Any]] = content["data"]["result"]
        return found

    def value(self, promql: str) -> float:
        """The value of an expression with one series; NaN without any."""
        found = self.ask(promql)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else float("nan")

    def predict(self, count: int = 1, *, windows: Any = None) -> list[int]:
        """Statuses of predictions through the proxy, each on a connection of its own."""
        content = {"windows": (movements(1) if windows is None else windows).tolist(), "subject": "s1"}
        return [httpx.post(f"{self.proxy}/predict", json=content, timeout=10).status_code for _ in range(count)]


@contextmanager
def observed(root: Path) -> Iterator[System]:
    """The system of a project in `root`, whose lake, log, release and flows have something to show."""
    with ExitStack() as stack:
        home = root / ".prefect"
        ready = stack.enter_context(starting_server(home))  # starts while the model is trained
        served = stack.enter_context(
            bentoml_serving(_store(root), root, workers=2, shadow_share=1.0, max_concurrency=4, breaker_pause_s=60.0)
        )
        port, webhook = free_port(), stack.enter_context(_receiver())
        token = root / "data" / "webhook-token"
        token.parent.mkdir(parents=True, exist_ok=True)
        token.write_text(TOKEN)
        with (root / "har.toml").open("a") as toml:
            toml.write(
                f'\n[alerts]\nwebhook = "http://127.0.0.1:{webhook.port}/"\nwebhook_token_file = "data/webhook-token"\n'
            )
        settings = load_settings(root)
        fill(settings)
        proxy = _proxy(stack, settings, served)
        ready()
        run_flows(home)
        exporter = free_port()
        _start(
            stack,
            [sys.executable, "-m", "infra.observability.exporter", f"--root={root}", f"--port={exporter}", "--every=1"],
            root,
        )
        alerts = free_port()
        _start(stack, _alertmanager(settings, root, alerts), root)
        online = write_targets(
            root / "online.json", [(served.url.removeprefix("http://"), {"backend": "blue", "replica": "s1"})]
        )
        jobs = {
            "online": Job(file=online),
            "proxy": Job([f"127.0.0.1:{proxy}"], path=METRICS),
            "project": Job([f"127.0.0.1:{exporter}"]),
            "prometheus": Job([f"127.0.0.1:{port}"]),
            "alerts": Job([f"127.0.0.1:{alerts}"]),
        }
        _start(stack, _prometheus(settings, root, port, jobs, alerts), root)
        system = System(
            settings,
            served,
            f"http://127.0.0.1:{proxy}",
            f"http://127.0.0.1:{exporter}",
            f"http://127.0.0.1:{port}",
            webhook,
        )
        eventually(lambda: _answers(f"{system.prometheus}/-/ready"), 30)
        yield system


def fill(settings: Settings) -> None:
    """Two days in the lake, one of them scored and monitored; a champion, a release that is held, replicas, a log."""
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    days = [dt.date(2026, 1, 5), dt.date(2026, 1, 6)]
    rows = [
        {
            "date": day,
            "subject": "s1",
            "session": "0",
            "sha256": f"{day}",
            "samples": 1,
            "ingested_at": dt.datetime(2026, 1, 7, tzinfo=dt.UTC),
        }
        for day in days
    ]
    lake.recordings.replace(pl.DataFrame(rows, lake.recordings.schema), [(day, "s1") for day in days])
    sample = {
        "date": days[1],
        "subject": "s1",
        "session": "0",
        "segment": 0,
        "time": dt.datetime(2026, 1, 6, 9, tzinfo=dt.UTC),
    }
    values = dict.fromkeys(lake.channels, 0.0)
    lake.samples.replace(pl.DataFrame([sample | values], lake.samples.schema), [(days[1], "s1")])
    scored = {"date": days[0], "subject": "s1", "content": lake.contents()[days[0], "s1"], "model_version": 7}
    lake.scores.replace(pl.DataFrame([scored], lake.scores.schema), [(days[0], "s1")])
    performance = Performance(200, 3, 0.8, 0.9, 0.85, dropped=False)
    report = day_report(drifted=True, date=days[0], model_version=7, confirmed=True, performance=performance)
    DriftReports(lake).store(report)
    now = dt.datetime.now(dt.UTC)
    promoted = Promotion(now, "me", "promote", 7, None, 7, "better", {}, True, settings.project.name, {"champion": 7})
    settings.path("mlflow").mkdir(parents=True)
    (settings.path("mlflow") / "promotions.jsonl").write_bytes(promoted.to_line("") + b"\n")
    place = Place(settings)
    state = State("r1", 8, phase="step", share=0.25, step_began=time.time() - 60, hold_since=time.time() - 30)
    Releases(place.store).save(state)
    replicas = [Replica(f"s{n}", "blue", "stable", "t:1", "ready", 1, 1, 1, 180.0) for n in (1, 2)]
    place.note(Running("http://127.0.0.1:1", os.getpid(), time.time() + 3600, replicas=tuple(replicas)))
    (settings.path("inbox") / "2026-01-08").mkdir(parents=True)
    (settings.path("inbox") / "2026-01-08" / "s1_a.csv").touch()
    settings.path("quarantine").mkdir(parents=True)
    for name in ("s2_a.csv", "s2_a.csv.json"):
        (settings.path("quarantine") / name).touch()
    _fill_stream(settings)


def _fill_stream(settings: Settings) -> None:
    """A message that waits, and a subject that measures now."""
    queue, hot = open_queue(settings), open_hot(settings)
    key = StreamKey("s1", "watch", "a")
    queue.put([Envelope(key, 0, now_us(), 50.0, np.zeros((50, len(settings.sensors.channels)), np.float32))])
    hot.write([subject_state("s1", seen_us=now_us())], {})
    queue.close()
    hot.close()


def run_flows(home: Path) -> None:
    """Runs of two flows in Prefect's server: one that went well, one that failed, and one that is late."""
    server = known_server(home)
    assert server is not None
    with httpx.Client(base_url=server[0], auth=server[1], timeout=20, trust_env=False) as client:

        def ask(path: str, **content: Any) -> dict[str, Any]:
            answer = client.post(path, json=content)
            assert answer.is_success, answer.text
            return dict(answer.json())

        flows = {name: ask("/flows/", name=name)["id"] for name in ("score", "ingest")}
        for name, end in (("score", "COMPLETED"), ("ingest", "FAILED")):
            run = ask("/flow_runs/", flow_id=flows[name], state={"type": "PENDING"})["id"]
            for state in ("RUNNING", end):
                ask(f"/flow_runs/{run}/set_state", state={"type": state}, force=True)
        ask("/flow_runs/", flow_id=flows["score"], state={"type": "SCHEDULED", "name": "Late"})


def _store(root: Path) -> Path:
    model = train_model(root / "made" / "model.onnx", seed=1)
    trapped = set_traps(model, root / "made" / "trapped.onnx")
    package = Package.write(
        root / "made" / "package", model=trapped, version=7, previous=(model, 6), shadow=(model, 8), rule=make_rule()
    )
    return store_package(package, root / "made" / "store")


def _proxy(stack: ExitStack, settings: Settings, served: Served) -> int:
    port = free_port()
    place = Place(settings)
    place.folder.mkdir(parents=True, exist_ok=True)
    Split(canary="green", share=0.25, until=time.time() + 3600, salt="r1").write(place.folder / MAP)
    (place.folder / DECODER).write_text(DECODE)
    options = Options([f"127.0.0.1:{port}"], str(place.prepare_socket()), concurrency=8, timeout_s=1.0, slots=2)
    (place.folder / "haproxy.cfg").write_text(proxy_configuration(options))
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    _start(stack, [program, "-db", "-f", "haproxy.cfg"], place.folder)
    eventually(place.socket.exists, 10)
    runtime = Runtime.at(place.socket)
    runtime.point("blue", "s1", int(served.url.rpartition(":")[2]))
    runtime.mode("blue", "s1", "ready")
    eventually(lambda: _answers(f"http://127.0.0.1:{port}/readyz"), 10)
    return port


def _alertmanager(settings: Settings, root: Path, port: int) -> list[str]:
    content = yaml.safe_load(alertmanager.configuration(settings))
    content["route"]["group_wait"] = "1s"
    file = root / "alertmanager.yml"
    file.write_text(yaml.safe_dump(content))
    program = "prometheus-alertmanager"
    return alertmanager.command(program, file, root / "alertmanager", f"127.0.0.1:{port}")


def _prometheus(settings: Settings, root: Path, port: int, jobs: Mapping[str, Job], alerts: int) -> list[str]:
    """As always, but everything happens every second."""
    rules = root / "rules"
    rules.mkdir()
    for path in RULES.glob("*.yml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in content["groups"]:
            group.pop("interval", None)
        (rules / path.name).write_text(yaml.safe_dump(content))
    text = configuration(
        jobs, project=settings.project.name, alertmanager=f"127.0.0.1:{alerts}", rules=f"{rules}/*.yml"
    )
    for slow in ("15s", "5s"):
        text = text.replace(f": {slow}", ": 1s")
    file = root / "prometheus.yml"
    file.write_text(text.replace("scrape_timeout: 4s", "scrape_timeout: 1s"))
    return command("prometheus", file, root / "prometheus", f"127.0.0.1:{port}")


@contextmanager
def _receiver() -> Iterator[Receiver]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.tokens.add(self.headers.get("Authorization", ""))
            receiver.alerts += content["alerts"]
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_port)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def _start(stack: ExitStack, arguments: Sequence[str], folder: Path) -> None:
    log = stack.enter_context((folder / f"{Path(arguments[0]).name}-{len(arguments)}.log").open("wb"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS_")}
    process = subprocess.Popen(
        arguments, cwd=folder, env=environment | {"PYTHONPATH": str(CHECKOUT)}, stdout=log, stderr=log
    )

    def end() -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)


def _answers(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(url, timeout=2).status_code == 200
    return False
