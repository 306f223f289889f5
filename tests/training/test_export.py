"""The exported file says what torch says, carries its own description, and is refused when it does not."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from har.errors import ParityError, TrainingError
from har.inference import Classifier
from har.training import Fitted, check_parity, export, fit
from har.training._export import trial_windows
from har.training._graph import translate


def test_the_file_predicts_as_torch_does_on_real_batches(
    fitted: Fitted, describe_model, make_windows, tmp_path
) -> None:
    path = export(fitted, tmp_path / "runs" / "1" / "model.onnx", describe_model(fitted))
    classifier = Classifier(path, threads=1)
    windows = make_windows(fitted.signal).batch()
    for count in (1, 3, 50):
        expected, got = fitted.predict(windows[:count]), classifier.predict(windows[:count])
        np.testing.assert_allclose(got.probabilities, expected[0], atol=1e-4)
        np.testing.assert_allclose(got.features, expected[1], atol=1e-4, rtol=1e-4)


def test_the_file_alone_is_enough_to_serve_it(fitted: Fitted, describe_model, tmp_path) -> None:
    metadata = describe_model(fitted)
    path = export(fitted, tmp_path / "model.onnx", metadata)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert Classifier(path).metadata == metadata
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (window,) = session.get_inputs()
    assert (window.name, window.type, window.shape[1:]) == ("window", "tensor(float)", [100, 6])
    assert isinstance(window.shape[0], str), "the batch is free"
    outputs = {output.name: output.shape[1] for output in session.get_outputs()}
    assert outputs == {"probabilities": 3, "features": len(metadata.feature_names)}


def test_the_temperature_acts_inside_the_file(fitted: Fitted, describe_model, make_windows, tmp_path) -> None:
    warm = replace(fitted, module=copy.deepcopy(fitted.module), temperature=4.0)
    warm.module.inverse_temperature.fill_(0.25)
    paths = [
        export(model, tmp_path / name, describe_model(model)) for model, name in ((fitted, "a.onnx"), (warm, "b.onnx"))
    ]
    windows = make_windows(fitted.signal).batch()[:40]
    sharp, soft = (Classifier(path).predict(windows).probabilities for path in paths)
    if fitted.temperature < 4:
        assert soft.max(1).mean() < sharp.max(1).mean()
    np.testing.assert_array_equal(soft.argmax(1), sharp.argmax(1))


def test_exporting_twice_gives_the_same_bytes(fitted: Fitted, describe_model, tmp_path) -> None:
    first, second = (export(fitted, tmp_path / name, describe_model(fitted)).read_bytes() for name in ("a", "b"))
    assert first == second


def test_a_file_that_disagrees_is_refused_and_leaves_nothing(
    fitted: Fitted, describe_model, tmp_path, monkeypatch
) -> None:
    def spoiled(module: torch.nn.Module, **kwargs: object) -> onnx.ModelProto:
        model = translate(module, **kwargs)
        for constant in model.graph.initializer:
            values = onnx.numpy_helper.to_array(constant)
            if values.dtype == np.float32 and values.size > 1000:
                constant.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(1.01), constant.name))
                break
        return model

    monkeypatch.setattr("har.training._export.translate", spoiled)
    kept = tmp_path / "model.onnx"
    kept.write_bytes(b"the model before")
    with pytest.raises(ParityError, match=r"within 0\.0001"):
        export(fitted, kept, describe_model(fitted))
    assert kept.read_bytes() == b"the model before"
    assert list(tmp_path.iterdir()) == [kept]


def test_parity_is_measured_and_a_tighter_tolerance_refuses(fitted: Fitted, describe_model, tmp_path) -> None:
    path = export(fitted, tmp_path / "model.onnx", describe_model(fitted))
    largest = check_parity(fitted, path)
    assert 0 < largest <= 1e-4
    with pytest.raises(ParityError):
        check_parity(fitted, path, tolerance=largest / 2)


def test_the_file_of_another_network_is_refused(describe_model, make_signal, make_windows, tmp_path) -> None:
    signal = make_signal()
    windows = make_windows(signal, subjects=2, seconds=6)
    one, other = (fit(windows, ("s00",), ("s01",), signal=signal, seed=seed, epochs=1) for seed in (0, 1))
    path = export(one, tmp_path / "model.onnx", describe_model(one))
    with pytest.raises(ParityError, match="probabilities at batch 1"):
        check_parity(other, path)


def test_metadata_of_another_network_are_refused(fitted: Fitted, describe_model, tmp_path) -> None:
    metadata = describe_model(fitted)
    for wrong in ({"rate_hz": 100.0}, {"temperature": 9.0}, {"activities": ("A", "B", "C")}, {"feature_names": ("f",)}):
        with pytest.raises(TrainingError, match=next(iter(wrong))):
            export(fitted, tmp_path / "model.onnx", replace(metadata, **wrong))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("channels", "rate_hz", "length"), [(3, 100.0, 100), (6, 50.0, 8), (1, 1000.0, 8)], ids=["3ch", "8samples", "1ch"]
)
@pytest.mark.parametrize("network", ["spectral", "dscnn"])
def test_other_signals_export_too(
    describe_model, make_signal, make_windows, tmp_path, network, channels, rate_hz, length
) -> None:
    signal = make_signal(channels=channels, rate_hz=rate_hz, length=length)
    windows = make_windows(signal, subjects=2, seconds=2)
    fitted = fit(windows, ("s00",), ("s01",), signal=signal, network=network, epochs=1)
    path = export(fitted, tmp_path / "model.onnx", describe_model(fitted))
    assert Classifier(path).predict(windows.batch()[:5]).probabilities.shape == (5, 3)


def test_trial_windows_include_rest_and_dead_sensors(make_signal) -> None:
    windows = trial_windows(make_signal(), 64)
    deviation = windows.std(1).max(1)
    assert (deviation == 0).any()
    assert ((deviation > 0) & (deviation < 0.05)).any()
    assert (deviation > 1).any()


def test_an_operation_without_a_translation_is_named(make_signal) -> None:
    class Odd(torch.nn.Module):
        def forward(self, window: torch.Tensor) -> tuple[torch.Tensor]:
            return (torch.erf(window),)

    with pytest.raises(TrainingError, match="erf"):
        translate(Odd(), length=8, channels=1, outputs={"x": 1})


class _Alone(torch.nn.Module):
    """One layer, its maximum over time."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, window: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.layer(window.transpose(1, 2)).amax(-1),)


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Conv1d(3, 4, 5, padding=2),
        torch.nn.Conv1d(3, 4, 5, bias=False),
        torch.nn.Conv1d(3, 6, 3, stride=2, dilation=2, groups=3),
        torch.nn.BatchNorm1d(3),
    ],
    ids=["bias", "no-bias", "dilated", "norm"],
)
def test_a_layer_answers_the_same_in_both(layer: torch.nn.Module) -> None:
    network = _Alone(layer).eval()
    window = torch.randn(2, 16, 3, generator=torch.Generator().manual_seed(0))
    expected = network(window)[0].detach().numpy()
    model = translate(network, length=16, channels=3, outputs={"answer": expected.shape[1]})
    session = onnxruntime.InferenceSession(model.SerializeToString())
    np.testing.assert_allclose(session.run(None, {"window": window.numpy()})[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (torch.nn.Conv1d(3, 4, 5, padding="same"), "padding 'same'"),
        (torch.nn.Conv1d(3, 4, 5, padding=2, padding_mode="circular"), "mode 'circular'"),
        (torch.nn.BatchNorm1d(3, affine=False), "without weights"),
    ],
    ids=["same", "circular", "norm"],
)
def test_a_layer_that_the_file_could_not_hold_is_named(layer: torch.nn.Module, named: str) -> None:
    with pytest.raises(TrainingError, match=named):
        translate(_Alone(layer), length=16, channels=3, outputs={"answer": 4})
