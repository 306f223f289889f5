"""The reference network: what a first model's latency is measured against, where there is no champion yet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from har.files import temporary_folder
from har.inference import Classifier, ModelMetadata

HIDDEN = 384
"""Units of each hidden layer, as many as the default network has."""
_COEFFICIENTS = 64
"""Lowest coefficients of each channel's spectrum that the perceptron reads."""
_OPSET = 18
_IR_VERSION = 10


def reference_classifier(metadata: ModelMetadata) -> Classifier:
    """A network of fixed size for windows of this shape, on one thread; the same shape gives the same graph.

    Each channel's amplitude spectrum, computed as two products with a T × T basis, and a perceptron of two hidden
    layers over its lowest coefficients: about the work of the default network. Its answers mean nothing, only the time
    they take does.

    Args:
        metadata: of the model to be compared: names the window's length and channels, and the activities.
    """
    # onnx belongs to training; reading figures and rendering pages must not need it.
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    length, channels, activities = metadata.length, len(metadata.channels), len(metadata.activities)
    kept = min(_COEFFICIENTS, length)
    time, order = np.arange(length)[:, None], np.arange(length)
    constants = {
        "cosines": np.cos(np.pi / length * time * order) / length,
        "sines": np.sin(np.pi / length * time * order) / length,
        "from": np.array([0]),
        "to": np.array([kept]),
        "axis": np.array([2]),
        "first": _weights(channels * kept, HIDDEN),
        "second": _weights(HIDDEN, HIDDEN),
        "third": _weights(HIDDEN, activities),
    }
    nodes = [
        helper.make_node("Transpose", ["window"], ["series"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["series", "cosines"], ["real"]),
        helper.make_node("MatMul", ["series", "sines"], ["imaginary"]),
        helper.make_node("Mul", ["real", "real"], ["real_power"]),
        helper.make_node("Mul", ["imaginary", "imaginary"], ["imaginary_power"]),
        helper.make_node("Add", ["real_power", "imaginary_power"], ["power"]),
        helper.make_node("Sqrt", ["power"], ["amplitude"]),
        helper.make_node("Slice", ["amplitude", "from", "to", "axis"], ["lowest"]),
        helper.make_node("Flatten", ["lowest"], ["features"]),
        helper.make_node("Gemm", ["features", "first"], ["first_sums"]),
        helper.make_node("Relu", ["first_sums"], ["first_hidden"]),
        helper.make_node("Gemm", ["first_hidden", "second"], ["second_sums"]),
        helper.make_node("Relu", ["second_sums"], ["second_hidden"]),
        helper.make_node("Gemm", ["second_hidden", "third"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "reference",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["n", length, channels])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", activities]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", channels * kept]),
        ],
        [
            numpy_helper.from_array(value if value.dtype == np.int64 else value.astype(np.float32), name)
            for name, value in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    names = tuple(f"{channel}.amplitude{index}" for channel in metadata.channels for index in range(kept))
    described = replace(metadata, network="reference", feature_names=names)
    helper.set_model_props(model, described.to_properties())
    with temporary_folder("reference") as folder:
        path = folder / "reference.onnx"
        onnx.save(model, path)
        return Classifier(path, threads=1)


def _weights(rows: int, columns: int) -> NDArray[np.float64]:
    """Fixed weights without a pattern that a library could exploit."""
    weights: NDArray[np.float64] = np.sin(1.0 + np.arange(rows * columns) ** 1.5) / np.sqrt(rows)
    return weights.reshape(rows, columns)
