"""Bentos as a user builds and serves them by hand: what gets in, what the image is made of, what it needs to run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from ports_support import free_port
from serving_support import eventually, movements, write_settings
from tests_support import copy_code

from bentos.base import BASE
from har.inference import Classifier, Package

ROOT = Path(__file__).parents[2]
BENTOML = [sys.executable, "-m", "bentoml"]
NOT_IN_THE_ONLINE_BOX = {
    *("torch", "pandas", "polars", "mlflow", "prefect", "deltalake", "pandera", "matplotlib", "sklearn", "pyarrow"),
    *("flows", "sqlalchemy", "fastapi"),
}
PARTS_OF_THE_STREAM = ("streaming/envelope", "streaming/envelope/formats", "streaming/state", "streaming/store")
LARGEST_MB = 210

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def by_hand() -> dict[str, str]:
    """The environment of somebody who has set nothing for BentoML or this project."""
    own = ("BENTOML_", "HAR_", "PREFECT_", "PROMETHEUS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def run(*command: str, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**by_hand(), **variables}, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def root(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a package in its store, and with much that must not get into a bento."""
    root = tmp_path_factory.mktemp("by-hand") / "project"
    write_settings(root, timeout_s=30.0, deadline_ms=20_000.0)
    copy_code(root)
    large = bytes(5_000_000)
    decoys = (
        "lake/samples/part.parquet",
        "data/inbox/day.csv",
        ".venv/lib/module.py",
        "mlruns/mlflow.db",
        "tests/x.py",
    )
    for name in (*decoys, ".bentoml/models/old.bin", ".prefect/prefect.db", "src/har/inference/__pycache__/old.pyc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(large)
    (root / "elsewhere" / "bentos").mkdir(parents=True)
    (root / "elsewhere" / "bentos" / "module.py").touch()
    (root / "elsewhere" / "har.toml").touch()
    folder = str(package.model.parent)
    store = str(root / ".bentoml")
    build = [
        sys.executable,
        "-m",
        "infra.bentoml.build",
        "test-project",
        "v7",
        folder,
        str(root),
        str(root / "tags.json"),
    ]
    run(*build, cwd=ROOT, BENTOML_HOME=store)
    return root


@pytest.fixture(scope="module")
def online(root: Path) -> Path:
    """The online bento, built by `bentoml build` in the project's folder."""
    run(*BENTOML, "build", "--version", "t1", cwd=root)
    return root / ".bentoml" / "bentos" / "test-project-online" / "t1"


@pytest.fixture(scope="module")
def batch(root: Path) -> Path:
    """The batch bento, as the comment in its bentofile says."""
    run(*BENTOML, "build", "-f", "bentos/batch/bentofile.yaml", "--version", "t1", cwd=root)
    return root / ".bentoml" / "bentos" / "test-project-batch" / "t1"


def test_an_online_bento_holds_its_own_code_and_nothing_of_the_project(online: Path) -> None:
    code = {f"bentos/{path.name}" for path in (ROOT / "bentos").glob("*.py")}
    code |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "bentos" / "online").rglob("*.py")}
    code |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "bentos" / "online" / "pages").iterdir()}
    for name in ("inference", "labelling", "plausibility", "settings", "storage", *PARTS_OF_THE_STREAM):
        code |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "src" / "har" / name).glob("*.py")}
    code |= {f"src/har/{name}.py" for name in ("__init__", "errors", "log_lines", "logs", "tokens")}
    code |= {f"src/har/streaming/{name}.py" for name in ("__init__", "_passwords", "queue")}
    assert files_in(online / "src") == code | {"har.toml", "bentofile.yaml"}
    assert sum(path.stat().st_size for path in online.rglob("*") if path.is_file()) < 1_000_000


def test_a_batch_bento_holds_what_scoring_needs(batch: Path) -> None:
    found = files_in(batch / "src")
    assert {"har.toml", "bentos/batch/service.py", "bentos/batch/_delta.py", "src/har/predictions.py"} <= found
    parts = (
        "batch",
        "cutting",
        "errors",
        "files",
        "inference",
        "log_lines",
        "logs",
        "parquet",
        "plausibility",
        "predictions",
        "schema",
        "settings",
        "storage",
        "windows",
    )
    strangers = [name for name in found if not any(re.search(rf"/{part}(/|\.py$)", name) for part in parts)]
    rest = {f"bentos/{path.name}" for path in (ROOT / "bentos").glob("*.py")}
    assert "bentos/batch/client.py" not in found
    assert set(strangers) == rest | {"src/har/__init__.py", "har.toml", "bentofile.yaml"}
    assert sum(path.stat().st_size for path in batch.rglob("*") if path.is_file()) < 1_000_000


def test_a_bento_names_the_package_that_it_was_built_with(
    package: Package, root: Path, online: Path, batch: Path
) -> None:
    for bento in (online, batch):
        manifest = (bento / "bento.yaml").read_text()
        assert "test-project:v7" in manifest
        assert package.sha256 in manifest


@pytest.mark.parametrize("box", ["online", "batch"])
@pytest.mark.parametrize("way", ["flipped", "other"])
def test_a_bento_refuses_another_package_under_its_name(
    box: str, way: str, request: pytest.FixtureRequest, make_package: Callable[..., Package], root: Path, tmp_path: Path
) -> None:
    bento: Path = request.getfixturevalue(box)
    home = tmp_path / ".bentoml"
    shutil.copytree(root / ".bentoml" / "models", home / "models")
    packaged = home / "models" / "test-project" / "v7"
    if way == "flipped":
        content = bytearray((packaged / "model.onnx").read_bytes())
        content[len(content) // 2] ^= 0x40
        (packaged / "model.onnx").write_bytes(content)
    else:  # sound in itself, but not the one
        for file in make_package("previous").model.parent.iterdir():
            shutil.copy(file, packaged)
    command = [sys.executable, "-B", "-c", LISTING, str(bento)]
    environment = {**by_hand(), "BENTOML_HOME": str(home)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode != 0
    words = (
        r"model\.onnx: expected the content" if way == "flipped" else r"v7.*: expected the package that .*bento\.yaml"
    )
    assert re.search(words + ".*, SHA-256 .*, but got .*, SHA-256 .*har package", done.stdout + done.stderr), (
        done.stderr
    )


@pytest.mark.parametrize("box", ["online", "batch"])
def test_the_dockerfile_has_two_stages_on_the_pinned_base(box: str, request: pytest.FixtureRequest) -> None:
    bento: Path = request.getfixturevalue(box)
    lines = (bento / "env" / "docker" / "Dockerfile").read_text().splitlines()
    stages = [line for line in lines if line.startswith("FROM ")]
    assert stages == [f"FROM {BASE} AS base-container", "FROM base-container AS build", "FROM base-container"]
    text = "\n".join(lines)
    for tool in ("apk ", "yum", "gcc", "build-essential", "ADD http"):
        assert tool not in text
    first, build, last = re.split(r"^FROM .*$", text, flags=re.MULTILINE)[1:]
    assert "apt-get" in build
    for stage in (first, last):  # what is in the image
        for tool in ("apt-get", "uv ", "pip "):
            assert tool not in stage
    assert re.findall("COPY --from=.*", last) == ["COPY --from=build /app /app"]
    assert lines.index("USER bentoml") < next(n for n, line in enumerate(lines) if line.startswith("ENTRYPOINT"))
    variables = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    assert variables["BENTOML_HOST"] == "0.0.0.0"  # noqa: S104  inside the container
    assert (variables["BENTOML_DO_NOT_TRACK"], variables["ORT_DISABLE_TELEMETRY"]) == ("true", "1")
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    (check,) = [line for line in lines if line.startswith("HEALTHCHECK ")]
    assert json.loads(check.partition(" CMD ")[2])[:2] == ["python", "-c"]
    assert "/readyz" in check


@pytest.mark.parametrize("box", ["online", "batch"])
def test_requirements_are_locked_without_paths_and_addresses(box: str, request: pytest.FixtureRequest) -> None:
    bento: Path = request.getfixturevalue(box)
    lines = (bento / "env" / "python" / "requirements.txt").read_text().split()
    assert set(lines) == set((ROOT / "requirements" / f"{box}.txt").read_text().split())
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9a-z.]*", line)] == []
    machine = [str(Path.home()) + "/", str(ROOT), str(bento.parents[3]), sys.prefix]
    for path in bento.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert [place for place in machine if place in text and place != "/"] == [], path


def test_pinned_packages_are_those_that_the_tests_run_with() -> None:
    pins = {
        name: set((ROOT / "requirements" / f"{name}.txt").read_text().split()) for name in ("dev", "online", "batch")
    }
    assert pins["online"] <= pins["dev"]
    assert pins["batch"] <= pins["dev"]


LISTING = """
import importlib.metadata, json, os, sys
import bentoml
service = bentoml.load(sys.argv[1])
service.to_asgi()
if hasattr(sys.modules[service.inner.__module__], "scorer"):
    sys.modules[service.inner.__module__].scorer()
else:  # what is loaded with the first message, and the first page
    import sse_starlette
    from har.streaming import queue, state
    from har.streaming.envelope.formats import formats, sensor_logger
    assert {"json", "msgpack", "sensor-logger"} <= {one.name for one in formats()}
import har
print(json.dumps({
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "distributions": sorted(found.name.lower() for found in importlib.metadata.distributions()),
    "code": har.__file__,
}))
"""


def test_the_online_bento_runs_in_a_clean_environment_that_stays_lean(online: Path, root: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env"
    python = environment / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    run(*uv, "venv", "--quiet", "--python", sys.executable, str(environment), cwd=tmp_path)
    pins = str(online / "env" / "python" / "requirements.txt")
    run(*uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python), "-r", pins, cwd=tmp_path)
    # Complete: nothing that a package asks for is missing from the pins.
    run(*uv, "pip", "check", "--python", str(python), cwd=tmp_path)
    installed_mb = sum(p.stat().st_size for p in environment.rglob("*") if p.is_file() and not p.is_symlink()) / 1e6
    listed = run(str(python), "-B", "-c", LISTING, str(online), cwd=tmp_path, BENTOML_HOME=str(root / ".bentoml"))
    found = json.loads(listed.splitlines()[-1])
    assert set(found["modules"]) & NOT_IN_THE_ONLINE_BOX == set()
    assert set(found["distributions"]) & {*NOT_IN_THE_ONLINE_BOX, "scikit-learn"} == set()
    assert Path(found["code"]).is_relative_to(online / "src" / "src")
    assert installed_mb <= LARGEST_MB, f"{installed_mb:.1f} MB"


@pytest.mark.parametrize(
    ("target", "workers"),
    [
        (".", 1),
        pytest.param(".", 2, marks=pytest.mark.release),
        pytest.param("test-project-online:t1", 2, marks=pytest.mark.release),
    ],
)
def test_bentoml_serve_by_hand(
    target: str, workers: int, root: Path, online: Path, package: Package, tmp_path: Path
) -> None:
    port = free_port()
    command = [*BENTOML, "serve", target, "--port", str(port)]
    environment = {**by_hand(), "HAR_SERVING__WORKERS": str(workers)}
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):

        def is_ready() -> bool:
            assert server.poll() is None, (tmp_path / "log").read_text()
            try:
                return client.get("/readyz").status_code == 200
            except httpx.TransportError:
                return False

        try:
            eventually(is_ready, 90)
            family = psutil.Process(server.pid).children(recursive=True)
            assert len([part for part in family if "_bentoml_impl.worker.service" in part.cmdline()]) == workers
            addresses = {
                connection.laddr.ip
                for part in (psutil.Process(server.pid), *family)
                for connection in part.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }
            assert addresses == {"127.0.0.1"}
            assert client.get("/model").json()["version"] == package.version
            windows = movements(5)
            answer = client.post(
                f"/predict/raw?shape={','.join(map(str, windows.shape))}",
                content=windows.astype("<f4").tobytes(),
                headers={"content-type": "application/octet-stream"},
            ).json()
            found = [list(row["probabilities"].values()) for row in answer["predictions"]]
            expected = Classifier(package.model, threads=1).predict(windows).probabilities
            np.testing.assert_allclose(found, expected, atol=1e-5)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
        assert not psutil.wait_procs(family, timeout=10)[1]


def test_without_a_package_bentoml_says_how_to_make_one(tmp_path: Path) -> None:
    root = tmp_path / "project"
    write_settings(root)
    copy_code(root)
    for command in ("serve", "build"):
        done = subprocess.run(
            [*BENTOML, command], cwd=root, env=by_hand(), capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode != 0
        assert "Package the champion: har package." in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr


def test_bentoml_finds_the_projects_store_by_itself(root: Path, tmp_path: Path) -> None:
    inside = run(*BENTOML, "project", cwd=root / "bentos")
    assert inside.strip() == str(root / ".bentoml")
    chosen = run(*BENTOML, "project", cwd=root, BENTOML_HOME=str(tmp_path / "own"))
    assert chosen.strip() == str(tmp_path / "own")
    assert "no project here" in run(*BENTOML, "project", cwd=tmp_path)
