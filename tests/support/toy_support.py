"""A model small enough to be written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from har.inference import ModelMetadata

METADATA = ModelMetadata(
    project="test",
    network="toy",
    activities=("walk", "sit"),
    channels=("accel_x", "accel_y", "accel_z"),
    units=("m/s^2",) * 3,
    rate_hz=50.0,
    length=16,
    stride=8,
    feature_names=("accel_x.mean", "accel_y.mean", "accel_z.mean"),
    temperature=1.25,
    abstain_below=0.5,
    git_commit="",
    data_version="samples@1",
    split_id="abc",
    trained_at="2024-01-01T00:00:00+00:00",
)


def toy_model(path: Path, properties: dict[str, str]) -> Path:
    """Features: the mean per channel; probabilities: a softmax over two fixed sums of them."""
    weights = numpy_helper.from_array(np.array([[1, -1], [0, 0], [0, 0]], np.float32), "weights")
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["window", "axes"], ["features"], keepdims=0),
            helper.make_node("MatMul", ["features", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "toy",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["N", 16, 3])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3]),
        ],
        [weights, axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, properties)
    onnx.save(model, path)
    return path
