"""The exported file gives torch's values and describes itself; a file that differs is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from har.errors import ParityError, TrainingError
from har.inference import Classifier
from har.training import FitOptions, Fitted, check_parity, export, fit
from har.training._export import trial_windows
from har.training._graph import UntranslatableError, translate, translate_network
from har.training.networks import Network, Optimisation, Scale, Signal


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


def test_the_file_is_self_contained(fitted: Fitted, describe_model, tmp_path) -> None:
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


def test_the_temperature_is_part_of_the_file(fitted: Fitted, describe_model, make_windows, tmp_path) -> None:
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


def test_export_is_deterministic(fitted: Fitted, describe_model, tmp_path) -> None:
    first, second = (export(fitted, tmp_path / name, describe_model(fitted)).read_bytes() for name in ("a", "b"))
    assert first == second


def test_a_file_that_differs_from_torch_is_refused_and_not_kept(
    fitted: Fitted, describe_model, tmp_path, monkeypatch
) -> None:
    def spoiled(module: Network, **kwargs: object) -> onnx.ModelProto:
        model = translate_network(module, **kwargs)
        for constant in model.graph.initializer:
            values = onnx.numpy_helper.to_array(constant)
            if values.dtype == np.float32 and values.size > 1000:
                constant.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(1.01), constant.name))
                break
        return model

    monkeypatch.setattr("har.training._export.translate_network", spoiled)
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
    one, other = (
        fit(windows, ("s00",), ("s01",), signal=signal, options=FitOptions(seed=seed, epochs=1)) for seed in (0, 1)
    )
    path = export(one, tmp_path / "model.onnx", describe_model(one))
    with pytest.raises(ParityError, match="probabilities at batch 1"):
        check_parity(other, path)


def test_the_metadata_of_another_network_is_refused(fitted: Fitted, describe_model, tmp_path) -> None:
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
    fitted = fit(windows, ("s00",), ("s01",), signal=signal, options=FitOptions(network=network, epochs=1))
    path = export(fitted, tmp_path / "model.onnx", describe_model(fitted))
    assert Classifier(path).predict(windows.batch()[:5]).probabilities.shape == (5, 3)


def test_trial_windows_include_rest_and_dead_sensors(make_signal) -> None:
    windows = trial_windows(make_signal(), 64)
    deviation = windows.std(1).max(1)
    assert (deviation == 0).any()
    assert ((deviation > 0) & (deviation < 0.05)).any()
    assert (deviation > 1).any()


def test_an_operation_without_a_rule_is_named(make_signal) -> None:
    class Odd(torch.nn.Module):
        def forward(self, window: torch.Tensor) -> tuple[torch.Tensor]:
            return (torch.erf(window),)

    with pytest.raises(UntranslatableError, match="erf"):
        translate(Odd(), length=8, channels=1, outputs={"x": 1})


def test_a_reshape_that_mixes_windows_has_no_rule() -> None:
    class Mixed(torch.nn.Module):
        def forward(self, window: torch.Tensor) -> tuple[torch.Tensor]:
            return (window.reshape(8, -1),)

    with pytest.raises(UntranslatableError, match="reshape"):
        translate(Mixed(), length=8, channels=1, outputs={"x": 1})


def test_mixed_types_have_no_rule() -> None:
    class Wide(torch.nn.Module):
        def forward(self, window: torch.Tensor) -> tuple[torch.Tensor]:
            return ((window * torch.ones(1, dtype=torch.float64)).amax(1),)

    with pytest.raises(UntranslatableError, match="not valid ONNX"):
        translate(Wide(), length=8, channels=1, outputs={"x": 1})


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
        torch.nn.MaxPool1d(3, stride=2, padding=1),
        torch.nn.MaxPool1d(2, ceil_mode=True, dilation=2),
        torch.nn.LayerNorm(16),
        torch.nn.LayerNorm((3, 16), elementwise_affine=False),
        torch.nn.Linear(16, 5),
        torch.nn.Linear(16, 5, bias=False),
        torch.nn.GELU(),
        torch.nn.Sigmoid(),
        torch.nn.Tanh(),
        torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Dropout1d(0.5), torch.nn.Identity()),
    ],
    ids=[
        *("bias", "no-bias", "dilated", "norm", "pool", "pool-ceil", "layer-norm", "layer-norm-2d"),
        *("linear", "linear-no-bias", "gelu", "sigmoid", "tanh", "dropout"),
    ],
)
def test_a_layer_gives_the_same_values_in_onnx(layer: torch.nn.Module) -> None:
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
        (torch.nn.GELU(approximate="tanh"), "approximate='tanh'"),
        (torch.nn.Softplus(), "Softplus"),
    ],
    ids=["same", "circular", "norm", "gelu", "unknown"],
)
def test_a_layer_without_a_rule_is_named(layer: torch.nn.Module, named: str) -> None:
    with pytest.raises(UntranslatableError, match=named):
        translate(_Alone(layer), length=16, channels=3, outputs={"answer": 4})


class _Recurrent(torch.nn.Module):
    """All that a recurrent layer returns: the sequence's first and last step, and the last layer's final state."""

    def __init__(self, layer: torch.nn.LSTM | torch.nn.GRU) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, window: torch.Tensor) -> tuple[torch.Tensor]:
        sequence, state = self.layer(window)
        if isinstance(self.layer, torch.nn.LSTM):
            hidden, cell = state
            state = hidden + cell
        return (torch.cat((sequence[:, 0], sequence[:, -1, :], sequence[:, 2:9:3].mean(1), state[-1]), 1),)


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 3, "dropout": 0.4}, {"bidirectional": True, "num_layers": 2}, {"bias": False}],
    ids=["plain", "deep", "both-ways", "no-bias"],
)
def test_a_recurrent_layer_gives_the_same_values_in_onnx(kind: type[torch.nn.RNNBase], options: dict) -> None:
    torch.manual_seed(0)
    network = _Recurrent(kind(3, 5, batch_first=True, **options)).eval()
    with torch.no_grad():
        width = network(torch.zeros(1, 16, 3))[0].shape[1]
    model = translate(network, length=16, channels=3, outputs={"values": width})
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for batch in (1, 4):
        window = 3 * torch.randn(batch, 16, 3)
        expected = network(window)[0].detach().numpy()
        np.testing.assert_allclose(session.run(None, {"window": window.numpy()})[0], expected, atol=1e-5)


class _First(torch.nn.Module):
    """The first of what a layer returns."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return self.layer(value)[0]


def test_a_recurrent_layer_in_torchs_own_axis_order_has_no_rule() -> None:
    with pytest.raises(UntranslatableError, match="LSTM without batch_first=True"):
        translate(_Alone(_First(torch.nn.LSTM(16, 5))), length=16, channels=3, outputs={"values": 3})


class _Attention(Network):
    """A GRU, attention over its steps, and a head; reads the batch size, which torch.fx cannot trace."""

    optimisation = Optimisation(learning_rate=5e-3, weight_decay=0.05, smoothing=0.1, average=0.9)

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal)
        self.scale = Scale(len(signal.channels))
        self.steps = torch.nn.GRU(len(signal.channels), 8, batch_first=True)
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = torch.nn.Linear(8 + len(self.describe.names), len(signal.activities))

    def observe(self, windows: torch.Tensor) -> None:
        self.scale.observe(windows.flatten(0, 1))

    def members(self, window: torch.Tensor) -> torch.Tensor:
        return self.logits(window, self.describe(window)).unsqueeze(1)

    def logits(self, window: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        start = torch.zeros(1, window.shape[0], 8, device=window.device)
        steps, _ = self.steps(self.scale(window[:, ::5]), start)
        found, _ = self.attention(steps, steps, steps)
        return self.head(torch.cat((found.mean(1), torch.tanh(features)), 1))


@pytest.fixture
def untrained(make_signal) -> Callable[[type[Network]], Fitted]:
    def make(kind: type[Network]) -> Fitted:
        signal = make_signal()
        torch.manual_seed(0)
        module = kind(signal).eval()
        return Fitted(module, signal, kind.__name__, 1, 1.0, None, None, (), 0, 0)

    return make


@pytest.mark.stack
@pytest.mark.release
def test_a_network_without_rules_is_exported_by_torch(untrained, describe_model, make_windows, tmp_path: Path) -> None:
    fitted = untrained(_Attention)
    path = export(fitted, tmp_path / "model.onnx", describe_model(fitted))
    windows = make_windows(fitted.signal).batch()
    for count in (1, 3, 50):
        expected, got = fitted.predict(windows[:count]), Classifier(path).predict(windows[:count])
        np.testing.assert_allclose(got.probabilities, expected[0], atol=1e-5)
        np.testing.assert_allclose(got.features, expected[1], atol=1e-4, rtol=1e-4)
    assert str(Path(torch.__file__).parent).encode() not in path.read_bytes(), "no paths of this machine"
    assert Path(__file__).name.encode() not in path.read_bytes()
    assert path.read_bytes() == export(fitted, tmp_path / "again.onnx", describe_model(fitted)).read_bytes()


class _Fixed(_Attention):
    """Its result depends on the batch in a way that no graph can hold."""

    def logits(self, window: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        if float(window.mean()) > 0:
            return self.head(torch.cat((features[:, :8], features), 1))
        return self.head(torch.cat((features[:, 8:16], features), 1))


def test_a_network_that_nothing_can_export_is_refused(untrained, describe_model, tmp_path: Path) -> None:
    fitted = untrained(_Fixed)
    with pytest.raises(TrainingError, match=r"export by torch\.onnx: expected a network that torch can export"):
        export(fitted, tmp_path / "model.onnx", describe_model(fitted))
    assert not list(tmp_path.iterdir())
