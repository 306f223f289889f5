"""The bits of an answer: the same whatever is answered in the same call, for models whose kernels would differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy_support import METADATA, toy_model

from har.inference import Classifier
from har.inference._exact import UNIT, batch_unit, batches


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    return Classifier(toy_model(tmp_path / "model.onnx", METADATA.to_properties()), threads=1)


def test_neighbours_do_not_matter(classifier: Classifier) -> None:
    windows = np.random.default_rng(0).normal(0, 3, (150, 16, 3)).astype(np.float32)
    whole = classifier.predict_exactly(windows)
    for first, size in ((0, 1), (3, 5), (20, 16), (40, 64), (7, 100)):
        part = classifier.predict_exactly(windows[first : first + size])
        assert part.probabilities.tobytes() == whole.probabilities[first : first + size].tobytes()
        assert part.features.tobytes() == whole.features[first : first + size].tobytes()
    assert len(classifier.predict_exactly(windows[:0]).probabilities) == 0


def test_a_model_that_depends_on_the_place_is_asked_window_by_window(tmp_path: Path) -> None:
    """Its features have the number of windows, and the place among them, in their last bits."""
    path = toy_model(tmp_path / "model.onnx", METADATA.to_properties())
    model = onnx.load(path)
    for node in model.graph.node:
        node.output[:] = ["plain" if name == "features" else name for name in node.output]
        node.input[:] = ["plain" if name == "features" else name for name in node.input]
    zero = numpy_helper.from_array(np.array(0, np.int64), "zero")
    tiny = numpy_helper.from_array(np.array(1e-3, np.float32), "tiny")
    model.graph.initializer.extend([zero, tiny])
    # The exclusive sum over the batch's windows, scaled to be small.
    model.graph.node.extend(
        [
            helper.make_node("CumSum", ["plain", "zero"], ["sums"], exclusive=1),
            helper.make_node("Mul", ["sums", "tiny"], ["small"]),
            helper.make_node("Add", ["plain", "small"], ["features"]),
        ]
    )
    assert model.graph.output[1].type.tensor_type.elem_type == TensorProto.FLOAT
    onnx.save(model, path)
    classifier = Classifier(path, threads=1)
    windows = np.random.default_rng(1).normal(0, 3, (20, 16, 3)).astype(np.float32)
    alone = np.concatenate([classifier.predict(windows[row : row + 1]).features for row in range(20)])
    assert classifier.predict_exactly(windows).features.tobytes() == alone.tobytes()
    assert classifier.predict(windows).features.tobytes() != alone.tobytes()


def test_batches_are_filled_up() -> None:
    windows = np.arange(70, dtype=np.float32).reshape(70, 1, 1)
    found = list(batches(windows, UNIT))
    assert [(len(batch), wanted) for batch, wanted in found] == [(64, 64), (16, 6)]
    assert found[1][0][:, 0, 0].tolist() == [64, 65, 66, 67, 68, 69] + [69] * 10
    assert [(len(batch), wanted) for batch, wanted in batches(windows[:3], 1)] == [(1, 1)] * 3


def test_what_depends_on_the_size_is_noticed() -> None:
    assert batch_unit(lambda windows: (windows.sum(axis=1),), 8, 2) == UNIT
    assert batch_unit(lambda windows: (windows.sum(axis=1) + len(windows),), 8, 2) == 1
    assert batch_unit(lambda windows: (windows.sum(axis=1) + np.arange(len(windows))[:, None],), 8, 2) == 1
