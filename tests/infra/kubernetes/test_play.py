"""The rendered Deployments of both boxes, run by podman as a cluster would run them: hardened, ready, and answering."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from serving_support import make_rule, movements, train_model, write_settings
from tests_support import copy_code

from bentos.base import BASE
from har.errors import PackagingError
from har.inference import Package
from har.settings import Settings
from infra.images.build import Order as ImageOrder
from infra.images.build import build_box
from infra.images.engine import Engine, find_engine
from infra.kubernetes.lint import kustomize
from infra.kubernetes.write import Order, write

pytestmark = [pytest.mark.release, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[3]
TAG = "v7-abcdef01"
TOKEN = "a-token-of-the-test-only"  # noqa: S105
ENCODED = base64.b64encode(TOKEN.encode()).decode()
PARTS = {
    "online": ("Deployment/online-blue", "ConfigMap/online", "PersistentVolumeClaim/journal"),
    "batch": ("Deployment/batch",),
}


@dataclass
class Playing:
    """A Deployment that podman runs."""

    engine: Engine
    container: str
    address: str

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.engine.name, "exec", self.container, *command], capture_output=True, text=True)


@pytest.fixture(scope="module")
def podman() -> Engine:
    try:
        return find_engine("podman")
    except PackagingError as error:
        pytest.skip(f"podman runs the manifests, and is not here: {error}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A project with both bentos of a small model as version 7."""
    folder = tmp_path_factory.mktemp("play")
    model = train_model(folder / "champion.onnx", seed=1)
    package = Package.write(folder / "package", model=model, version=7, previous=None, shadow=None, rule=make_rule())
    settings = write_settings(folder / "project")
    copy_code(settings.root)
    variables = {**os.environ, "BENTOML_HOME": str(settings.path("bentoml")), "BENTO_IMAGE_LABELS": "{}"}
    build = [sys.executable, "-m", "infra.bentoml.build", "test-project", TAG, str(package.model.parent)]
    build += [str(settings.root), str(settings.root / "tags.json"), "bentofile.yaml", "bentos/batch/bentofile.yaml"]
    subprocess.run(build, check=True, capture_output=True, cwd=ROOT, env=variables)
    return settings


@pytest.fixture(scope="module", params=["online", "batch"])
def playing(
    request: pytest.FixtureRequest, podman: Engine, project: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Playing]:
    box = request.param
    base = os.environ.get("BASE", "")
    order = ImageOrder(project, podman, base="" if base == BASE else base, network=os.environ.get("IMAGE_NETWORK", ""))
    try:
        image = build_box(order, box, project.path("bentoml"), TAG)
    except PackagingError as error:
        pytest.skip(f"the image cannot be built here: {error}")
    folder = tmp_path_factory.mktemp("manifests")
    images = {name: f"localhost/test-project-{name}:{TAG}" for name in ("online", "batch", "train")}
    text = kustomize(write(project, Order("staging", images), folder / "staging"))
    file = folder / "play.yaml"
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    name = f"play-{os.getpid()}"
    file.write_text(yaml.safe_dump_all(_one_box(text, box, name, port)))
    played = subprocess.run([podman.name, "kube", "play", file], capture_output=True, text=True)
    assert played.returncode == 0, played.stderr[-2000:]
    try:
        yield Playing(podman, f"{name}-pod-0-{box}", f"http://127.0.0.1:{port}")
    finally:
        subprocess.run([podman.name, "kube", "down", file], capture_output=True, check=False)
        volumes = [f"{name}-journal", f"{name}-project"]
        subprocess.run([podman.name, "volume", "rm", "-f", *volumes], capture_output=True, check=False)
        subprocess.run([podman.name, "secret", "rm", f"{name}-project"], capture_output=True, check=False)
        subprocess.run([podman.name, "rmi", "--force", image], capture_output=True, check=False)


def _one_box(text: str, box: str, name: str, port: int) -> list[dict[str, Any]]:
    """The parts of one box under names of its own, its port on this machine, and a secret."""
    found = [
        one for one in yaml.safe_load_all(text) if one and f"{one['kind']}/{one['metadata']['name']}" in PARTS[box]
    ]
    (deployment,) = (one for one in found if one["kind"] == "Deployment")
    deployment["metadata"]["name"] = name
    deployment["spec"]["replicas"] = 1
    spec = deployment["spec"]["template"]["spec"]
    spec["containers"][0]["ports"][0]["hostPort"] = port
    for volume in spec["volumes"]:
        if "persistentVolumeClaim" in volume:
            volume["persistentVolumeClaim"]["claimName"] = f"{name}-journal"
        if "secret" in volume:
            volume["secret"]["secretName"] = f"{name}-project"
    for one in found:
        if one["kind"] == "PersistentVolumeClaim":
            one["metadata"]["name"] = f"{name}-journal"
    content = {"feedback_token": ENCODED}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{name}-project"}, "data": content}
    return [*([secret] if box == "online" else []), *found]


def test_a_box_runs_hardened_and_answers(playing: Playing) -> None:
    _await_ready(playing)
    assert playing.execute("id", "-u").stdout.strip() == "1034"
    status = playing.execute("cat", "/proc/1/status").stdout
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Read-only file system" in playing.execute("touch", "/written").stderr
    assert playing.execute("sh", "-c", "touch $(mktemp)").returncode == 0
    told = playing.engine.call("inspect", playing.container, where=playing.container, remedy="See above.")
    limits = json.loads(told)[0]["HostConfig"]
    assert limits["Memory"] in (512 * 2**20, 2**30)
    # As the kubelet asks: by the pod's address, which the service was never told.
    probe = httpx.get(f"{playing.address}/livez", headers={"Host": "10.42.0.7:3000"}, trust_env=False)
    assert probe.status_code == 200
    if "batch" in playing.container:
        import polars as pl

        upload = io.BytesIO()
        pl.DataFrame({"nothing": [1.0]}).write_parquet(upload)
        refused = httpx.post(f"{playing.address}/score", content=upload.getvalue(), trust_env=False, timeout=60)
        assert refused.status_code == 422, "it reads what is sent, and says what is wrong with it"
        return
    token = playing.execute("cat", "/run/secrets/feedback_token").stdout.strip()
    assert token in (TOKEN, ENCODED), "podman 4.3 mounts what the manifest has, later ones decode it"
    windows = movements(3, activity=1)
    shape = ",".join(str(size) for size in windows.shape)
    body = {"content": windows.astype("<f4").tobytes(), "headers": {"Content-Type": "application/octet-stream"}}
    address = f"{playing.address}/predict/raw?shape={shape}&subject=S1"
    answer = httpx.post(address, **body, trust_env=False, timeout=60).json()
    assert (answer["model_version"], len(answer["predictions"])) == (7, 3)
    feedback = {"request_id": answer["request_id"], "activity": answer["predictions"][0]["activity"]}
    asked = httpx.post(f"{playing.address}/feedback", json=feedback, trust_env=False, timeout=60)
    assert asked.status_code == 401, "the token is that of the secret"
    with_token = {"Authorization": f"Bearer {token}"}
    asked = httpx.post(f"{playing.address}/feedback", json=feedback, headers=with_token, trust_env=False, timeout=60)
    assert asked.status_code == 202, asked.text
    time.sleep(1)
    log = playing.execute(
        "sh", "-c", "cat /home/bentoml/data/journal/.*.jsonl /home/bentoml/data/journal/*.jsonl"
    ).stdout
    lines = [json.loads(line) for line in log.splitlines()]
    assert {line["kind"] for line in lines} == {"prediction", "feedback"}, "it writes its log into the volume"
    assert {line["request_id"] for line in lines} == {answer["request_id"]}


def _await_ready(playing: Playing) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            if httpx.get(f"{playing.address}/readyz", trust_env=False, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, playing.engine.log(playing.container)
        time.sleep(0.3)
