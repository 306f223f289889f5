"""A real SQLite MLflow per test, copied from one migrated once per session, and small real model files."""

from __future__ import annotations

import dataclasses
import multiprocessing
import shutil
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests_support import example_recipe

from har.inference import ModelMetadata
from har.recipe import Recipe
from har.registry import Registry
from har.registry._backend import DATABASE, connect

NAME = "wrist"
LENGTH, CHANNELS, ACTIVITIES, FEATURES = 16, ("ax", "ay", "az"), ("PEN", "ROW"), ("mean_ax", "mean_ay", "mean_az")

MakeModel = Callable[..., Path]
Register = Callable[..., int]
Spawn = Callable[..., BaseProcess]


@pytest.fixture(autouse=True)
def _own_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as a first start leaves it."""
    folder = tmp_path_factory.mktemp("mlflow-template")
    connect(folder)
    return folder / DATABASE


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """An MLflow folder without versions."""
    made = tmp_path / "mlruns"
    made.mkdir()
    shutil.copy(template, made / DATABASE)
    return made


@pytest.fixture
def registry(folder: Path) -> Registry:
    return Registry(folder, NAME)


@pytest.fixture(scope="session")
def stock(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow folder with the versions 1 to 4."""
    parent = tmp_path_factory.mktemp("mlflow-stock")
    made = parent / "mlruns"
    made.mkdir()
    shutil.copy(template, made / DATABASE)
    for seed in range(4):
        add_version(Registry(made, NAME), write_model(parent, seed), seed=seed)
    return made


@pytest.fixture
def stocked(stock: Path, tmp_path: Path) -> Registry:
    """A registry of its own with the versions 1 to 4."""
    return Registry(shutil.copytree(stock, tmp_path / "mlruns"), NAME)


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    return partial(write_model, tmp_path)


@pytest.fixture
def register(registry: Registry, make_model: MakeModel) -> Register:
    """Register a small model; its version number."""

    def add(seed: int = 0, **values: Any) -> int:
        return add_version(registry, make_model(seed), seed=seed, **values)

    return add


@pytest.fixture(scope="session")
def spawn(template: Path) -> Spawn:
    """Start a program in a process of its own, forked from one that has imported MLflow already (4 s a time)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["har.registry", "mlflow.store.tracking.sqlalchemy_store"])

    def start(program: str, **names: object) -> BaseProcess:
        process = context.Process(target=exec, args=(program, names))
        process.start()
        return process

    return start


METADATA = ModelMetadata(
    project=NAME,
    network="spectral",
    activities=ACTIVITIES,
    channels=CHANNELS,
    units=("m/s^2",) * 3,
    rate_hz=50.0,
    length=LENGTH,
    stride=8,
    feature_names=FEATURES,
    temperature=1.5,
    abstain_below=0.5,
    git_commit="abc123",
    data_version="samples@7",
    split_id="held-out-s03",
    trained_at="2026-01-02T03:04:05+00:00",
)


def write_model(folder: Path, seed: int = 0, *, project: str = NAME) -> Path:
    """Write a model whose features are the channels' means and whose classifier is one linear layer."""
    weights = np.random.default_rng(seed).normal(size=(len(CHANNELS), len(ACTIVITIES))).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["window", "axes"], ["features"], keepdims=0),
            helper.make_node("MatMul", ["features", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        ],
        "har",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["N", LENGTH, len(CHANNELS)])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(ACTIVITIES)]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", len(FEATURES)]),
        ],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, dataclasses.replace(METADATA, project=project).to_properties())
    path = folder / f"trained-{project}-{seed}" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, path)
    return path


def add_version(
    registry: Registry,
    model: Path,
    *,
    seed: int,
    metrics: dict[str, float] | None = None,
    recipe: Recipe | None = None,
) -> int:
    return registry.register(
        model,
        params={"training": {"epochs": 15}, "network": "spectral"},
        metrics=metrics or {"accuracy": 0.875, "recall/PEN": 0.9, "latency_us_p50": 57.0},
        recipe=recipe or example_recipe(seed=seed),
        report=None,
        tags={"seed": seed, "git_dirty": False},
    ).number
