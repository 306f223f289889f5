"""What tests of the bentos share: small real models, models with traps, and services that really listen."""

from __future__ import annotations

import gc
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import psutil
import uvicorn
from onnx import TensorProto, helper, numpy_helper
from ports_support import free_port
from prometheus_client import CollectorRegistry
from tests_support import HAR_TOML

from har.inference import MagnitudeRule, ModelMetadata, Package
from har.settings import Settings, load_settings
from har.training import FitOptions, Signal, export, fit, learn_novelty, learn_runs
from har.windows import cut

ACTIVITIES = ("SIT", "WALK", "RUN")
LENGTH, CHANNELS, STRIDE = 16, 6, 8
SHAPE = (LENGTH, CHANNELS)

SLOW, FAILS, NOT_A_NUMBER = 75.0, 125.0, 165.0
"""A trapped model falls into its traps where the very first value of the windows is one of these (m/s²)."""


def write_settings(root: Path, **serving: float | str) -> Settings:
    """A project whose windows are 16 samples of 6 channels, with these keys of `[serving]`."""
    text = HAR_TOML.replace("length_s = 4.0", "length_s = 0.32")
    text = text.replace('"PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"', ", ".join(f'"{name}"' for name in ACTIVITIES))
    text += "\n[serving]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in serving.items())
    root.mkdir(parents=True, exist_ok=True)
    (root / "har.toml").write_text(text)
    return load_settings(root)


def movements(count: int, *, seed: int = 0, activity: int | None = None) -> np.ndarray:
    """Windows (count, 16, 6) float32 of the three activities in turn, or of one."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3 if activity is None else np.full(count, activity)
    time_s = np.arange(LENGTH)[None, :, None] / 50
    pace = np.array([0.0, 4.0, 11.0])[labels][:, None, None]
    strength = np.array([0.0, 2.0, 6.0])[labels][:, None, None]
    moving = strength * np.sin(2 * np.pi * pace * time_s + rng.uniform(0, 6, (count, 1, CHANNELS)))
    resting = np.array([0.5, 0.3, 9.7, 0.0, 0.0, 0.0])
    windows: np.ndarray = (resting + moving + rng.normal(0, 0.2, (count, *SHAPE))).astype(np.float32)
    return windows


def trapped(fault: float, count: int = 1) -> np.ndarray:
    """Windows that make a trapped model slow, fail or answer NaN."""
    windows = movements(count)
    windows[0, 0, 0] = fault
    return windows


def train_model(path: Path, *, seed: int, subjects: int = 4, older: bool = False) -> Path:
    """Train on made-up subjects for a second, and export; `older`: as a release that knew no distance."""
    samples = np.concatenate([movements(60, seed=10 * seed + s, activity=a) for s in range(subjects) for a in range(3)])
    runs = np.repeat(np.arange(len(samples)), LENGTH)
    windows = cut(
        samples.reshape(-1, CHANNELS),
        runs,
        length=LENGTH,
        stride=STRIDE,
        labels=np.tile(np.repeat(np.arange(3), 60 * LENGTH), subjects),
        subjects=np.repeat([f"s{s:02d}" for s in range(subjects)], 180 * LENGTH),
    )
    signal = Signal(
        channels=("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"),
        units=("m/s^2",) * 3 + ("rad/s",) * 3,
        rate_hz=50.0,
        length=LENGTH,
        activities=ACTIVITIES,
        triples=((0, 1, 2), (3, 4, 5)),
    )
    names = sorted(set(windows.subjects.tolist()))
    options = FitOptions(seed=seed, epochs=3, batch_size=64, device="cpu")
    fitted = fit(windows, names[:-1], names[-1:], signal=signal, options=options)
    novelty = None if older else learn_novelty(fitted, windows)
    metadata = ModelMetadata(
        project="test-project",
        network=fitted.network,
        activities=signal.activities,
        channels=signal.channels,
        units=signal.units,
        rate_hz=signal.rate_hz,
        length=LENGTH,
        stride=STRIDE,
        feature_names=fitted.feature_names,
        temperature=fitted.temperature,
        abstain_below=0.5,
        git_commit="0123abc",
        data_version=f"samples@{seed}",
        split_id="0123456789ab",
        trained_at="2026-01-02T03:04:05+00:00",
        runs=None if older else learn_runs(windows, len(ACTIVITIES), rate_hz=signal.rate_hz),
        distances=() if novelty is None else novelty.distances,
    )
    return export(fitted, path, metadata, novelty=novelty)


def set_traps(source: Path, target: Path) -> Path:
    """A copy of a model that answers alike, except that the first value can make it slow, fail or answer NaN."""
    model = onnx.load(source)
    graph = model.graph
    for existing in graph.node:
        for values in (existing.input, existing.output):
            values[:] = ["trap.honest" if value == "probabilities" else value for value in values]

    def constant(name: str, values: Any, kind: type[np.generic] = np.float32) -> str:
        graph.initializer.append(numpy_helper.from_array(np.array(values, kind), f"trap.{name}"))
        return f"trap.{name}"

    def node(kind: str, *inputs: str, to: str, **attributes: Any) -> str:
        graph.node.append(helper.make_node(kind, inputs, [to], name=f"trap.node.{to}", **attributes))
        return to

    first = node(
        "Gather",
        node("Reshape", "window", constant("flat", [-1], np.int64), to="trap.values"),
        constant("zero", 0, np.int64),
        to="trap.first",
    )
    above_50 = node("Greater", first, constant("50", 50), to="trap.above_50")
    above_100 = node("Greater", first, constant("100", 100), to="trap.above_100")
    above_150 = node("Greater", first, constant("150", 150), to="trap.above_150")
    slow = node("Xor", above_50, above_100, to="trap.slow")
    fails = node("Xor", above_100, above_150, to="trap.fails")
    index = node("Where", fails, constant("seven", 7, np.int64), "trap.zero", to="trap.index")
    outside = node("Gather", constant("single", [0.0]), index, to="trap.outside")
    nothing = constant("nothing", 0)
    bad = node("Where", above_150, constant("nan", np.nan), nothing, to="trap.bad")
    rounds = node("Where", slow, constant("many", 10**9, np.int64), "trap.zero", to="trap.rounds")
    table = [None, None]
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state_in", "unit"], ["state_out"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "trap.body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_in", TensorProto.FLOAT, table),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, table),
        ],
        [numpy_helper.from_array(np.eye(64, dtype=np.float32), "unit")],
    )
    state = node("Loop", rounds, "", constant("start", np.zeros((64, 64))), to="trap.state", body=body)
    late = node("ReduceMax", state, to="trap.late", keepdims=0)
    total = node("Add", node("Add", outside, bad, to="trap.sum"), late, to="trap.total")
    node("Add", "trap.honest", total, to="probabilities")
    onnx.checker.check_model(model)
    onnx.save(model, target)
    return target


def make_rule() -> MagnitudeRule:
    """The fallback rule for these movements."""
    windows = movements(300, seed=99)
    units = ("m/s^2",) * 3 + ("rad/s",) * 3
    return MagnitudeRule.fit(windows, np.arange(300) % 3, units=units, activities=ACTIVITIES)


@contextmanager
def listening(app: Any, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve an ASGI application on a free port of this machine; gives its address."""
    from bentos._connection import Connection

    config = uvicorn.Config(app, http=Connection, log_config=None, lifespan="on", timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    frozen, thresholds = gc.get_freeze_count(), gc.get_threshold()
    with socket.create_server((host, 0), backlog=512) as listener:
        thread = threading.Thread(target=_run, args=(server, listener), daemon=True)
        thread.start()
        try:
            eventually(lambda: server.started or not thread.is_alive())
            assert server.started, "the application did not start"
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            gc.set_threshold(*thresholds)
            if not frozen:
                gc.unfreeze()
    assert not thread.is_alive()


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    with suppress(SystemExit):  # how uvicorn says that the application did not start
        server.run(sockets=[listener])


@dataclass
class Service:
    """A service that listens, and what tests look at."""

    url: str
    package: Package
    settings: Settings
    registry: CollectorRegistry
    app: Any
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=10)

    def predict(self, windows: np.ndarray, **place: Any) -> dict[str, Any]:
        """The answer of /predict, which must be one."""
        response = self.client.post("/predict", json={"windows": windows.tolist(), **place})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def raw(self, windows: np.ndarray, **query: Any) -> httpx.Response:
        """What /predict/raw says."""
        query = {"shape": ",".join(map(str, windows.shape)), **query}
        return self.client.post("/predict/raw", content=windows.astype("<f4").tobytes(), params=query, headers=OCTETS)

    def metric(self, name: str, **labels: str) -> float:
        """A metric's value now; 0 if it was never touched."""
        self.app.answering.metrics.flush()
        return self.registry.get_sample_value(name, labels) or 0.0

    def lines(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Lines of the prediction log so far."""
        return [line for line in read_journal(self.settings.path("journal")) if kind in (None, line["kind"])]


OCTETS = {"content-type": "application/octet-stream"}


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of a prediction log, oldest file first."""
    lines = []
    for path in sorted(folder.glob("[!.]*.jsonl"), key=lambda path: (path.stat().st_mtime_ns, path.name)):
        lines += [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    return lines


def eventually(check: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """The first true value of `check`; fails if there is none in time."""
    give_up = time.monotonic() + timeout_s
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < give_up, f"not within {timeout_s:g} s"
        time.sleep(0.01)


@contextmanager
def bentoml_serving(
    store: Path,
    root: Path,
    *,
    service: str = "bentos.online.service:Online",
    folder: Path | None = None,
    workers: int = 1,
    start_s: float = 90.0,
    host: str = "127.0.0.1",
    **serving: float,
) -> Iterator[Served]:
    """`bentoml serve` of a service, imported from this folder or the checkout, in a project with a copy of the store.

    All its processes end with the block.
    """
    settings = write_settings(root, workers=workers, **serving)
    shutil.copytree(store, settings.path("bentoml"), symlinks=True)
    port = free_port()
    log = root / "serve.log"
    command = [str(Path(sys.executable).with_name("bentoml")), "serve", service]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", host, "--port", str(port)],
            cwd=folder or CHECKOUT,
            env=_environment(settings.path("bentoml")) | {"HAR_ROOT": str(root), "PYTHONPATH": str(CHECKOUT)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    served = Served(f"http://127.0.0.1:{port}", settings, process.pid, log)
    try:
        eventually(lambda: process.poll() is not None or served.ready(), start_s)
        assert process.poll() is None, log.read_text()[-3000:]
        yield served
    finally:
        served.client.close()
        family = [process.pid, *served.children()]
        process.terminate()
        try:
            process.wait(20)
        finally:
            for pid in family:
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(pid).kill()
            process.wait(5)


def store_package(package: Package, home: Path) -> Path:
    """A BentoML home whose model store holds this package under the project's name."""
    for folder in ("models", "bentos", "tmp", "envs"):
        (home / folder).mkdir(parents=True)
    subprocess.run([sys.executable, "-c", _STORE, str(package.model.parent)], env=_environment(home), check=True)
    return home


def _environment(home: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("BENTOML_", "PROMETHEUS_"))}
    return own | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true", "DO_NOT_TRACK": "true"}


CHECKOUT = Path(__file__).resolve().parents[2]

_STORE = """
import shutil, sys
import bentoml
with bentoml.models.create("test-project") as model:
    shutil.copytree(sys.argv[1], model.path, dirs_exist_ok=True)
"""


@dataclass
class Served:
    """A service behind `bentoml serve`."""

    url: str
    settings: Settings
    pid: int
    log: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=10)

    def ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            response = self.client.get("/readyz")
        except httpx.TransportError:
            return False
        assert response.status_code in (200, 503), f"{response.text}\n{self.log.read_text()[-3000:]}"
        return response.status_code == 200

    def children(self) -> list[int]:
        """All processes below the one that was started."""
        with suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]
        return []

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics whose name starts with har_, by its text form."""
        page = self.client.get("/metrics").text
        return {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("har_"))
        }
