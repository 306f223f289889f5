"""The classifier with a real ONNX file: its answers and its refusals."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from toy_support import METADATA, toy_model

from har.errors import ModelError, ModelMismatchError, WindowError
from har.inference import Classifier


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    return Classifier(toy_model(tmp_path / "model.onnx", METADATA.to_properties()))


def test_answers(classifier: Classifier) -> None:
    window = np.zeros((3, 16, 3), np.float32)
    window[:, :, 0] = [[2.0], [-2.0], [0.0]]
    probabilities, features, distance = classifier.predict(window)
    assert distance is None  # a file of an older release
    np.testing.assert_allclose(features[:, 0], [2, -2, 0])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert probabilities.argmax(axis=1).tolist()[:2] == [0, 1]


def test_no_windows(classifier: Classifier) -> None:
    probabilities, features, _ = classifier.predict(np.empty((0, 16, 3), np.float32))
    assert probabilities.shape == (0, 2)
    assert features.shape == (0, 3)


def test_metadata_is_read_back(classifier: Classifier) -> None:
    assert classifier.metadata == METADATA


@pytest.mark.parametrize(
    ("window", "words"),
    [
        (np.zeros((1, 15, 3), np.float32), r"shape \(N, 16, 3\).*accel_x, accel_y, accel_z.*\(1, 15, 3\)"),
        (np.zeros((1, 16, 6), np.float32), r"\(1, 16, 6\)"),
        (np.zeros((16, 3), np.float32), r"\(16, 3\)"),
        (np.zeros((1, 16, 3)), "float32 array, but got float64"),
        ([[1.0]], "but got list"),
    ],
)
def test_wrong_windows_are_refused(classifier: Classifier, window: np.ndarray, words: str) -> None:
    with pytest.raises(WindowError, match=words):
        classifier.predict(window)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_value_that_is_not_finite_is_named(classifier: Classifier, value: float) -> None:
    window = np.zeros((4, 16, 3), np.float32)
    window[2, 5, 1] = value
    with pytest.raises(
        WindowError, match=f"window 2, sample 5, channel accel_y: expected finite values, but got {value}"
    ):
        classifier.predict(window)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.onnx.*har train"):
        Classifier(tmp_path / "nothing.onnx")


def test_broken_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match="an ONNX file"):
        Classifier(tmp_path / "model.onnx")


@pytest.mark.parametrize("place", ["weights.bin", "../weights.bin", "{here}/weights.bin", "/proc/self/environ"])
def test_weights_in_another_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for folder in (tmp_path, tmp_path / "here"):
        (folder / "weights.bin").write_bytes(bytes(24))
    model = onnx.load(toy_model(tmp_path / "model.onnx", METADATA.to_properties()))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place.format(here=tmp_path / "here"))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="expected a model file with its weights inside"):
        Classifier(tmp_path / "model.onnx")


def test_foreign_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no har metadata"):
        Classifier(toy_model(tmp_path / "model.onnx", {}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channels", ("accel_x", "accel_z", "accel_y")),
        ("units", ("g",) * 3),
        ("rate_hz", 100.0),
        ("length", 32),
        ("activities", ("sit", "walk")),
    ],
)
def test_a_model_of_another_project_is_refused_by_name(name: str, value: object) -> None:
    wanted = {key: getattr(METADATA, key) for key in ("channels", "units", "rate_hz", "length", "activities")}
    METADATA.require(where="m", **wanted)
    with pytest.raises(ModelMismatchError, match=f"m, {name}: expected .* project 'test'"):
        replace(METADATA, **{name: value}).require(where="m", **wanted)


def test_imports_nothing_heavier_than_numpy_and_onnxruntime() -> None:
    code = "import sys, har.inference; print('\\n'.join(sorted({name.split('.')[0] for name in sys.modules})))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "onnxruntime"} <= set(loaded)
    assert not {"polars", "torch", "pydantic", "mlflow", "deltalake", "pandera", "sklearn", "rich"} & set(loaded)
