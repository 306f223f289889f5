"""A call with a deadline is aborted in time, and other calls go on."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from har.errors import DeadlineError, ModelError
from har.inference import Classifier, ModelMetadata

METADATA = ModelMetadata(
    project="test",
    network="loop",
    activities=("walk", "sit"),
    channels=("accel_x",),
    units=("m/s^2",),
    rate_hz=50.0,
    length=8,
    stride=4,
    feature_names=("rounds",),
    temperature=1.0,
    abstain_below=0.5,
    git_commit="",
    data_version="samples@1",
    split_id="abc",
    trained_at="2026-01-01T00:00:00+00:00",
)


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    """Multiplies a matrix by itself as many times as the window's largest value says; a negative one is an error."""
    square, scalar = [48, 48], []
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state_in", "unit"], ["state_out"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, scalar),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, scalar),
            helper.make_tensor_value_info("state_in", TensorProto.FLOAT, square),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, scalar),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, square),
        ],
        [numpy_helper.from_array(np.eye(48, dtype=np.float32), "unit")],
    )
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["window"], ["largest"], keepdims=0),
            helper.make_node("Cast", ["largest"], ["rounds"], to=TensorProto.INT64),
            helper.make_node("Min", ["rounds", "zero"], ["index"]),
            helper.make_node("Gather", ["single", "index"], ["checked"]),
            helper.make_node("Loop", ["rounds", "", "start"], ["state"], body=body),
            helper.make_node("ReduceMax", ["state"], ["nothing"], keepdims=0),
            helper.make_node("ReduceMax", ["window", "axes"], ["features"], keepdims=0),
            helper.make_node("Add", ["nothing", "checked"], ["sum"]),
            helper.make_node("Add", ["features", "sum"], ["moved"]),
            helper.make_node("Concat", ["moved", "features"], ["logits"], axis=1),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "loop",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["N", 8, 1])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 1]),
        ],
        [
            numpy_helper.from_array(np.zeros(square, np.float32), "start"),
            numpy_helper.from_array(np.array(0, np.int64), "zero"),
            numpy_helper.from_array(np.zeros(1, np.float32), "single"),
            numpy_helper.from_array(np.array([1], np.int64), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, METADATA.to_properties())
    onnx.save(model, tmp_path / "model.onnx")
    return Classifier(tmp_path / "model.onnx", threads=1)


def rounds(count: float) -> np.ndarray:
    return np.full((1, 8, 1), count, np.float32)


ENDLESS = rounds(1e9)


@pytest.mark.parametrize("deadline_s", [None, 5.0])
def test_in_time(classifier: Classifier, deadline_s: float | None) -> None:
    np.testing.assert_allclose(classifier.predict(rounds(3), deadline_s=deadline_s).probabilities, [[0.5, 0.5]])


def test_a_late_call_is_aborted(classifier: Classifier) -> None:
    began = time.perf_counter()
    with pytest.raises(
        DeadlineError, match=r"model\.onnx: expected an answer within 100 ms, but got none; the call was aborted"
    ):
        classifier.predict(ENDLESS, deadline_s=0.1)
    assert 0.09 < time.perf_counter() - began < 1


def test_the_next_call_is_not_aborted(classifier: Classifier) -> None:
    for _ in range(3):
        with pytest.raises(DeadlineError):
            classifier.predict(ENDLESS, deadline_s=0.02)
        assert len(classifier.predict(rounds(1), deadline_s=5.0).probabilities) == 1


def test_concurrent_calls_have_separate_deadlines(classifier: Classifier) -> None:
    def ask(number: int) -> bool:
        late = number % 4 == 0
        try:
            classifier.predict(ENDLESS if late else rounds(number), deadline_s=0.05 if late else 20.0)
        except DeadlineError:
            return late
        return not late

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(120)))


def test_a_failure_is_no_deadline(classifier: Classifier) -> None:
    for deadline_s in (None, 5.0):
        with pytest.raises(ModelError, match="expected an answer, but got") as caught:
            classifier.predict(rounds(-7), deadline_s=deadline_s)
        assert not isinstance(caught.value, DeadlineError)
