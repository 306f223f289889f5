"""The nightly flow with a running batch service: the same rows as without it, and never another model's."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from prefect.logging import disable_run_logger
from run_support import ingest, score, train
from serving_support import listening
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests_support import write_recording

from bentos.batch.client import BatchService
from flows.score import _connect
from har.errors import ModelMismatchError, RequestError, ServiceError
from har.inference import MagnitudeRule, Package
from har.monitoring.profiles import Profile
from har.project import open_project
from har.settings import Settings, load_settings
from infra.bentoml.store import environment, serving
from infra.local.services import BATCH_VARIABLE

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@contextmanager
def batch_service(settings: Settings, version: int, folder: Path) -> Iterator[str]:
    """Package a registered version and serve the project's batch service with it."""
    windows = np.random.default_rng(0).normal(0, 1, (70, settings.length, 6)).astype(np.float32)
    labels = np.arange(70) % len(settings.activities.all)
    names = settings.activities.all
    Package.write(
        folder / "package",
        model=open_project().registry.model_path(1),
        version=version,
        previous=None,
        shadow=None,
        rule=MagnitudeRule.fit(windows, labels, units=settings.sensors.units, activities=names),
    )
    store = folder / "store"
    store.mkdir()
    build = [sys.executable, "-m", "infra.bentoml.build", settings.project.name, f"v{version}", str(folder / "package")]
    build += [str(ROOT), str(folder / "tags.json")]
    subprocess.run(build, check=True, capture_output=True, cwd=ROOT, env={**os.environ, **environment(store)})
    variables = {"HAR_ROOT": str(settings.root)}
    log = folder / "serve.log"
    with serving("bentos.batch.service:Batch", ROOT, store, log=log, settings=variables) as address:
        yield address


def predictions() -> pl.DataFrame:
    return open_project().lake.predictions.read().sort("date", "subject", "session", "start")


@pytest.fixture
def scored(two_days: Settings) -> Settings:
    """A project with a champion, version 1, whose two days were scored in the flow's own process."""
    write_recording(two_days.path("inbox"), "2024-01-02", "s07", "short", None, seconds=2)
    ingest()
    train()
    score()
    return two_days


def test_the_service_gives_the_rows_of_the_flows_own_process(
    scored: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = predictions()
    assert len(own) > 300
    lake = open_project().lake
    profiles = lake.profiles.read().drop("made_at").sort("date", "subject")
    assert profiles["windows"].sum() == len(own)
    shutil.rmtree(lake.profiles.path)
    shutil.rmtree(lake.predictions.path)
    shutil.rmtree(lake.scores.path)
    with batch_service(scored, 1, tmp_path) as address:
        monkeypatch.setenv("HAR_SCORING__SERVICE", address)
        report = score()
        assert (report.windows, report.partitions) == (len(own), 13)
        assert predictions().equals(own)
        again = lake.profiles.read().drop("made_at").sort("date", "subject")
        assert again.drop("profile").equals(profiles.drop("profile"))
        for theirs, ours in zip(again["profile"], profiles["profile"], strict=True):
            one, other = (Profile.from_bytes(content, where="") for content in (theirs, ours))
            assert one.activities == other.activities
            assert one.mean("accel_x.mean") == pytest.approx(other.mean("accel_x.mean"), rel=1e-5)
        assert score().windows == 0
        log = (tmp_path / "serve.log").read_text()
        assert "path=/score," in log

        other = load_settings().model_copy(update={"windows": scored.windows.model_copy(update={"overlap": 0.75})})
        with pytest.raises(ModelMismatchError, match="stride: expected 50, but got 100"):
            BatchService(other, 1).require_champion()
        partition = lake.samples.partitions()[0]
        columns = ["session", "segment", "time", *lake.channels]
        bad = lake.samples.read(partitions=[partition], columns=columns).with_columns(accel_x=pl.lit(1e9, pl.Float32))
        with pytest.raises(RequestError, match=r"accel_x: expected at most"):
            BatchService(load_settings(), 1).predict([(partition, bad)])
        with pytest.raises(ModelMismatchError, match="expected version 2, the champion, but got version 1"):
            BatchService(load_settings(), 2).predict([(partition, bad.with_columns(accel_x=pl.lit(0, pl.Float32)))])
        assert len(BatchService(load_settings(), 1).predict([(partition, bad.clear())])) == 0


@pytest.mark.release
def test_another_version_than_the_champion_is_refused(
    scored: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = predictions()
    with batch_service(scored, 5, tmp_path) as address:
        monkeypatch.setenv("HAR_SCORING__SERVICE", address)
        with pytest.raises(ModelMismatchError, match="expected version 1, the champion, but got version 5"):
            score(rescore=True)
    assert predictions().equals(before)


def test_an_unreachable_service_is_retried(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HAR_SCORING__SERVICE", f"http://127.0.0.1:{port}")
    with pytest.raises(ServiceError, match=r"scoring\.service") as caught:
        BatchService(load_settings(), 1).require_champion()
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (429, '{"error": "Too many requests"}', ServiceError),
        (503, "", ServiceError),
        (504, '{"error": "late"}', ServiceError),
        (404, "Not Found", RequestError),
        (200, "<html>", ServiceError),
        (200, '{"version": "x"}', ServiceError),
        (200, "[]", ServiceError),
    ],
)
def test_only_temporary_failures_are_retried(
    status: int, content: str, kind: type[Exception], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(_: Request) -> Response:
        return Response(content, status)

    with listening(Starlette(routes=[Route("/model", answer)])) as address:
        monkeypatch.setenv("HAR_SCORING__SERVICE", address)
        with pytest.raises(kind):
            BatchService(load_settings(), 1).require_champion()


def offered_by(version: int, settings: Settings) -> Starlette:
    """A batch service that says that it has this version."""
    model = {"version": version, "length": settings.length, "stride": settings.stride}
    model |= {"rate_hz": settings.sensors.rate_hz, "channels": list(settings.sensors.channels)}

    async def answer(_: Request) -> Response:
        return Response(json.dumps(model), media_type="application/json")

    return Starlette(routes=[Route("/model", answer)])


def test_the_stacks_service_is_used_while_it_has_the_champion(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    with disable_run_logger():
        monkeypatch.delenv(BATCH_VARIABLE, raising=False)
        assert _connect(settings, 1, ()) is None
        with socket.create_server(("127.0.0.1", 0)) as taken:
            nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv(BATCH_VARIABLE, nobody)
        assert _connect(settings, 1, ()) is None
        with listening(offered_by(2, settings)) as address:
            monkeypatch.setenv(BATCH_VARIABLE, address)
            assert _connect(settings, 1, ()) is None
            used = _connect(settings, 2, ("accel_x.mean",))
            assert used is not None
            assert (used.address, used.version, used.features, used.required) == (address, 2, ("accel_x.mean",), False)
        # What har.toml names must answer: it is not passed over.
        monkeypatch.setenv("HAR_SCORING__SERVICE", nobody)
        named = _connect(load_settings(), 1, ())
        assert named is not None
        assert (named.address, named.required) == (nobody, True)
