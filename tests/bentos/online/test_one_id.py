"""One id follows a request: through the proxy's log, the service's and the prediction log to the row in the lake."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from place_support import add_bento
from serving_support import CHECKOUT, eventually, movements, read_journal, write_settings

from har.jobs.collect import collect_files, journal_files
from har.lake import Lake
from har.logs import Pseudonyms, parse
from har.settings import Settings, load_settings
from infra.bentoml.store import SHARED_PORT, environment
from infra.local.child import Child
from infra.local.server import bound
from infra.local.third_party import installed
from infra.serving.fleet import Member
from infra.serving.keeper import Keeper

pytestmark = pytest.mark.stack


@dataclass
class Place:
    """The real proxy in front of a real service, whose log lines have pseudonyms."""

    settings: Settings
    address: str
    logs: Path

    def lines(self, file: str) -> list[dict[str, Any]]:
        """The lines of a log; each must be JSON."""
        return [json.loads(line) for line in (self.logs / file).read_text().splitlines()]

    def about(self, file: str, name: str) -> dict[str, Any]:
        """The one line of a log about a request, once it is there."""
        (found,) = eventually(
            lambda: [line for line in self.lines(file) if line.get("request_id") == name and "status" in line]
        )
        return dict(found)


@pytest.fixture(scope="module")
def place(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    program = installed("haproxy")
    if program is None:
        pytest.skip("needs HAProxy (apt-get install haproxy)")
    root = tmp_path_factory.mktemp("place")
    settings = write_settings(root, replicas=1, log_rotate_s=0.3, timeout_s=5)
    with (root / "har.toml").open("a") as toml:
        toml.write('\n[logs]\nsubjects = "pseudonym"\n')
    settings = load_settings(root)
    shutil.copytree(model_store, settings.path("bentoml"), symlinks=True)
    add_bento(settings, "v1")
    logs = root / "logs"

    def launch(member: Member) -> Child:
        variables = {**os.environ, **environment(settings.path("bentoml")), "HAR_ROOT": str(root), SHARED_PORT: "1"}
        return Child(
            "online",
            ["bentoml", "serve", "bentos.online.service:Online", "--host", "127.0.0.1", "--port", str(member.port)],
            environment={**variables, "PYTHONPATH": str(CHECKOUT)},
            log=logs / "online.log",
            folder=CHECKOUT,
        )

    with bound(0) as door:
        keeper = Keeper(settings, program, door, logs, lambda line: None, launch)
        try:
            keeper.tick()
            eventually(lambda: keeper.ready and _answers(keeper.address), 120)
            yield Place(settings, keeper.address, logs)
        finally:
            keeper.stop()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_from_the_proxy_to_the_row_in_the_lake(place: Place) -> None:
    body = {"windows": movements(2).tolist(), "subject": "s01", "start": "2024-05-01T10:00:00Z"}
    with httpx.Client(base_url=place.address, trust_env=False, timeout=20) as client:
        named = client.post("/predict", json=body, headers={"X-Request-ID": "visit-7.a"})
        unnamed = client.post("/predict", json={"windows": movements(1).tolist()})
        refused = client.post("/predict", json={"windows": []}, headers={"X-Request-ID": "empty-1"})
        evil = client.post("/predict", json={"windows": []}, headers={"X-Request-ID": 'x","level":"FORGED'})
    assert (named.status_code, unnamed.status_code, refused.status_code, evil.status_code) == (200, 200, 422, 422)
    assert named.json()["request_id"] == named.headers["x-request-id"] == "visit-7.a"
    made = unnamed.headers["x-request-id"]
    assert unnamed.json()["request_id"] == made and evil.headers["x-request-id"] != made

    for name in ("visit-7.a", made):
        proxy, service = place.about("haproxy.log", name), place.about("online.log", name)
        assert (proxy["service"], proxy["status"], proxy["path"]) == ("proxy", 200, "/predict")
        assert (service["service"], service["status"], service["path"]) == ("online", 200, "/predict")
        assert service["model_version"] == 7 and service["fallback"] is False and service["ms"] > 0
    # Who it was is said under a pseudonym, which whoever has the key can tell.
    name_of = Pseudonyms(place.settings.path("log_key"))
    assert place.about("online.log", "visit-7.a")["subject"] == name_of("s01")
    assert "subject" not in place.about("online.log", made)
    assert '"s01"' not in (place.logs / "online.log").read_text() + (place.logs / "haproxy.log").read_text()
    assert place.about("online.log", "empty-1")["level"] == "WARNING"
    assert place.about("haproxy.log", "empty-1")["status"] == 422

    folder = place.settings.path("journal")
    eventually(lambda: {line["request_id"] for line in read_journal(folder)} >= {"visit-7.a", made})
    lake = Lake(place.settings.path("lake"), place.settings.sensors.channels)
    collect_files(lake, journal_files(folder))
    rows = lake.predictions.read().filter(pl.col("request_id").is_not_null()).sort("start")
    assert rows.group_by("request_id").len().sort("request_id").rows() == sorted([("visit-7.a", 2), (made, 1)])
    (subject,) = rows.filter(pl.col("request_id") == "visit-7.a")["subject"].unique()
    assert subject == "s01"


def test_every_line_of_both_is_json_with_the_same_keys(place: Place) -> None:
    for file in ("online.log", "haproxy.log"):
        lines = (place.logs / file).read_text().splitlines()
        assert lines
        for line in lines:
            assert parse(line), line
