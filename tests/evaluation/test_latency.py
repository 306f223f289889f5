"""Latency of real model files: in wall-clock time, and side by side with another model while the machine is busy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from har.evaluation import (
    LatencyRatio,
    Outcome,
    OwnLimits,
    Verdict,
    compare,
    latency,
    latency_ratio,
    reference_classifier,
)
from har.evaluation import _latency as module
from har.inference import Classifier, ModelMetadata

CHANNELS = ("accel_x", "accel_y", "accel_z")
LENGTH = 16
WIDTH = 256
BUSY = 4
"""Processes that never rest, more than this machine's share of cores for one test."""


def _metadata(length: int = LENGTH, channels: tuple[str, ...] = CHANNELS) -> ModelMetadata:
    return ModelMetadata(
        project="test",
        network="toy",
        activities=("walk", "sit", "run"),
        channels=channels,
        units=("m/s^2",) * len(channels),
        rate_hz=50.0,
        length=length,
        stride=8,
        feature_names=CHANNELS,
        temperature=1.0,
        abstain_below=0.5,
        git_commit="",
        data_version="samples@1",
        split_id="abc",
        trained_at="2024-01-01T00:00:00+00:00",
    )


def _model(path: Path, layers: int) -> Classifier:
    """A perceptron with so many hidden layers, all with the same weights: its work grows with their number."""
    random = np.random.default_rng(0)
    weights = {
        "first": random.normal(size=(LENGTH * len(CHANNELS), WIDTH)) / WIDTH,
        "hidden": random.normal(size=(WIDTH, WIDTH)) / WIDTH,
        "last": random.normal(size=(WIDTH, 3)),
    }
    nodes = [
        helper.make_node("ReduceMean", ["window", "axes"], ["features"], keepdims=0),
        helper.make_node("Flatten", ["window"], ["flat"]),
        helper.make_node("Gemm", ["flat", "first"], ["h0"]),
    ]
    for layer in range(layers):
        nodes.append(helper.make_node("Gemm", [f"h{layer}", "hidden"], [f"s{layer}"]))
        nodes.append(helper.make_node("Relu", [f"s{layer}"], [f"h{layer + 1}"]))
    nodes.append(helper.make_node("Gemm", [f"h{layers}", "last"], ["logits"]))
    nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["N", LENGTH, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in ("probabilities", "features")],
        [
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
            *(numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, _metadata().to_properties())
    onnx.save(model, path)
    return Classifier(path, threads=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Classifier]:
    folder = tmp_path_factory.mktemp("models")
    layers = {"champion": 20, "twin": 20, "tenfold": 200}
    return {name: _model(folder / f"{name}.onnx", count) for name, count in layers.items()}


@contextmanager
def _load(processes: int) -> Iterator[None]:
    """The machine is busy meanwhile; a process whose parent is gone ends by itself after a minute."""
    code = "import time\nend = time.monotonic() + 60\nprint(flush=True)\nwhile time.monotonic() < end: pass"
    busy = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(processes)]
    try:
        for process in busy:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in busy:
            process.kill()
            process.communicate()


def _verdict(measured: LatencyRatio) -> Verdict:
    """Of a challenger that is as accurate as its champion; the defaults' limit of 3 times."""
    labels = np.tile([0, 1], 30)
    outcome = Outcome(labels, np.eye(2, dtype=np.float32)[labels], np.repeat(["s1", "s2", "s3"], 20), ("walk", "sit"))
    limits = OwnLimits(0.3, 3.0, measured, latency_ms=10.0, wall_p50_ms=0.3, wall_p99_ms=70.0)
    return compare(outcome, outcome, limits, margin=0.02)


@pytest.mark.parametrize("busy", [0, BUSY])
def test_a_model_of_the_same_size_passes_on_a_busy_machine(models: dict[str, Classifier], busy: int) -> None:
    with _load(busy):
        measured = latency_ratio(models["twin"], models["champion"], against="champion")
    assert measured.ratio == pytest.approx(1.0, abs=0.3)
    verdict = _verdict(measured)
    assert verdict.promote, verdict.reasons
    assert verdict.reasons[-1].startswith("Warning:"), "its 99th percentile of wall-clock time is over budget"


@pytest.mark.parametrize("busy", [0, BUSY])
def test_a_model_of_ten_times_the_work_is_refused_on_a_busy_machine(models: dict[str, Classifier], busy: int) -> None:
    with _load(busy):
        measured = latency_ratio(models["tenfold"], models["champion"], against="champion")
    assert measured.ratio > 4
    assert measured.median_us > measured.against_median_us
    verdict = _verdict(measured)
    assert not verdict.promote
    assert [name for name, passed in verdict.checks.items() if not passed] == ["latency"]
    assert "Raise gates.latency_ratio in har.toml, or decide by hand: har promote" in verdict.reasons[2]


def test_a_very_slow_model_is_measured_in_fewer_pairs(
    models: dict[str, Classifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BUDGET_NS", 1)
    assert latency_ratio(models["twin"], models["champion"], against="champion").pairs == 15


@pytest.mark.parametrize(("length", "channels"), [(16, CHANNELS), (200, CHANNELS), (8, ("accel_x",))])
def test_the_reference_network_takes_the_models_windows_and_never_changes(
    length: int, channels: tuple[str, ...]
) -> None:
    metadata = _metadata(length, channels)
    one, two = reference_classifier(metadata), reference_classifier(metadata)
    windows = np.random.default_rng(0).normal(size=(2, length, len(channels))).astype(np.float32)
    first, second = one.predict(windows), two.predict(windows)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    np.testing.assert_allclose(first.probabilities.sum(axis=1), 1, atol=1e-5)
    assert first.features.shape == (2, len(one.metadata.feature_names))
    assert one.metadata.model_input == metadata.model_input
    assert latency_ratio(one, two, against="reference", pairs=50).ratio == pytest.approx(1.0, abs=0.3)


def test_latency_of_a_model_file(tmp_path: Path) -> None:
    measured = latency(_model(tmp_path / "model.onnx", layers=0), runs=200)
    assert 0 < measured.p50_us <= measured.p99_us
    # A batch shares the cost of a call; with this toy it is nearly all there is.
    assert measured.batch_windows_per_s > 1e6 / measured.p50_us
    assert measured.to_json()["runs"] == 200
