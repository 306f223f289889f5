"""Samples of a few subjects and days, and the batch bento built from this project, served and run as a user would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest
from batch_support import two_days
from serving_support import write_settings

from bentos.batch import Scorer
from har.inference import Classifier, Package
from har.jobs import score as scoring
from har.lake import Lake
from har.settings import Settings
from infra.bentoml.store import environment, serving

ROOT = Path(__file__).parents[3]
Expected = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def batch_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A project of its own, without samples."""
    return write_settings(tmp_path_factory.mktemp("batch") / "project")


@pytest.fixture(scope="module")
def samples(batch_settings: Settings) -> pl.DataFrame:
    """Some samples, sorted as in the lake."""
    return two_days(batch_settings)


@pytest.fixture(scope="module")
def scorer(package: Package, batch_settings: Settings) -> Scorer:
    """The scorer of version 7."""
    return Scorer(package, batch_settings)


@pytest.fixture(scope="module")
def expected(package: Package, batch_settings: Settings) -> Expected:
    """What scoring in the process itself gives: through a real lake and `score_chunk`."""

    def predict(samples: pl.DataFrame) -> pl.DataFrame:
        lake = Lake(batch_settings.root / "expected", batch_settings.sensors.channels)
        shutil.rmtree(lake.folder, ignore_errors=True)
        partitions = sorted(samples.select("date", "subject").unique().rows())
        lake.samples.replace(samples, partitions)
        chunk = scoring.Chunk(tuple(partitions), ("",) * len(partitions), len(samples))
        scoring.score_chunk(lake, batch_settings, Classifier(package.model, threads=1), package.version, chunk)
        return lake.predictions.read().sort("date", "subject", "session", "start")

    return predict


@pytest.fixture(scope="session")
def bento(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The batch bento, built into a store of its own over a project with two days in its lake."""
    root = tmp_path_factory.mktemp("built") / "project"
    settings = write_settings(root)
    for name in ("bentos", "src", "requirements"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / ".bentoignore", root)
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    rows = two_days(settings)
    lake.samples.replace(rows, rows.select("date", "subject").unique().rows())
    (lake.folder / "way-out").symlink_to(root / "src")
    (lake.folder / "way-in").symlink_to(lake.samples.path)
    build = [sys.executable, "-m", "infra.bentoml.build", "test-project", "v7", str(package.model.parent), str(root)]
    build += [str(root / "tags.json"), "bentos/batch/bentofile.yaml"]
    store = settings.path("bentoml")
    subprocess.run(build, check=True, capture_output=True, cwd=ROOT, env={**os.environ, **environment(store)})
    return store / "bentos" / "test-project-batch" / "v7"


@pytest.fixture(scope="session")
def client(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The built bento, listening."""
    store = bento.parents[2]
    log = tmp_path_factory.mktemp("log") / "serve.log"
    with (
        serving("test-project-batch:v7", store.parent, store, log=log) as address,
        httpx.Client(base_url=address, timeout=60, trust_env=False) as client,
    ):
        yield client
