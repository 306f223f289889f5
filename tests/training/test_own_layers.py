"""Layers that own networks are made of: trained, exported by our rules or by torch, equal to torch at any batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from har.errors import ModelError, ParityError, TrainingError
from har.inference import Classifier
from har.training import FitOptions, Fitted, check_parity, export, fit
from har.training.networks import Network, Optimisation, Scale, Signal

BY_TORCH = [pytest.mark.stack, pytest.mark.release]


class Own(Network):
    """Its layers are the subclass's; `body` takes scaled windows (N, T, C)."""

    optimisation = Optimisation(learning_rate=5e-3, weight_decay=0.05, smoothing=0.1, average=0.95)

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal)
        self.scale = Scale(len(signal.channels))
        self.build(len(signal.channels), len(signal.activities))

    def build(self, channels: int, activities: int) -> None:
        raise NotImplementedError

    def body(self, window: Tensor) -> Tensor:
        raise NotImplementedError

    def observe(self, windows: Tensor) -> None:
        self.scale.observe(windows.flatten(0, 1))

    def members(self, window: Tensor) -> Tensor:
        return self.body(self.scale(window)).unsqueeze(1)

    def logits(self, window: Tensor, features: Tensor) -> Tensor:
        return self.body(self.scale(window))


class BidirectionalLstm(Own):
    def build(self, channels: int, activities: int) -> None:
        self.lstm = nn.LSTM(channels, 12, 2, batch_first=True, dropout=0.2, bidirectional=True)
        self.norm, self.dropout, self.head = nn.LayerNorm(24), nn.Dropout(0.5), nn.Linear(24, activities)

    def body(self, window: Tensor) -> Tensor:
        states, _ = self.lstm(window)
        return self.head(self.dropout(self.norm(states[:, -1])))


class ConvolutionsAndGru(Own):
    def build(self, channels: int, activities: int) -> None:
        self.convolutions = nn.Sequential(
            nn.Conv1d(channels, 16, 5), nn.GELU(), nn.MaxPool1d(2), nn.Conv1d(16, 16, 5), nn.BatchNorm1d(16), nn.GELU()
        )
        self.gru = nn.GRU(16, 12, batch_first=True, bidirectional=True)
        self.head = nn.Linear(24, activities)

    def body(self, window: Tensor) -> Tensor:
        states, _ = self.gru(self.convolutions(window.transpose(1, 2)).transpose(1, 2))
        return self.head(states.mean(1))


class Attention(Own):
    def build(self, channels: int, activities: int) -> None:
        self.stem, self.act, self.norm = nn.Conv1d(channels, 16, 5, stride=2), nn.GELU(), nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True, dropout=0.1)
        self.head = nn.Linear(16, activities)

    def body(self, window: Tensor) -> Tensor:
        steps = self.norm(self.act(self.stem(window.transpose(1, 2))).transpose(1, 2))
        found, _ = self.attention(steps, steps, steps)
        return self.head((steps + found).mean(1))


class ClassToken(Own):
    """`len(window)` is a number to Python; the exported file must not take it for one."""

    def build(self, channels: int, activities: int) -> None:
        self.stem = nn.Conv1d(channels, 16, 5, stride=2)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.encoder = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True, activation="gelu")
        self.head = nn.Linear(16, activities)

    def body(self, window: Tensor) -> Tensor:
        steps = self.stem(window.transpose(1, 2)).transpose(1, 2)
        return self.head(self.encoder(torch.cat((self.token.expand(len(window), -1, -1), steps), 1))[:, 0])


class OtherConvolutions(Own):
    def build(self, channels: int, activities: int) -> None:
        self.convolutions = nn.Sequential(
            nn.Conv1d(channels, 16, 5, padding="same", dilation=2),
            *(nn.GroupNorm(4, 16), nn.SiLU(), nn.MaxPool1d(3, stride=2), nn.AdaptiveAvgPool1d(1), nn.Flatten()),
        )
        self.head = nn.Linear(16, activities)

    def body(self, window: Tensor) -> Tensor:
        return self.head(self.convolutions(window.transpose(1, 2)))


class InTorchsOrder(Own):
    def build(self, channels: int, activities: int) -> None:
        self.lstm, self.head = nn.LSTM(channels, 12), nn.Linear(12, activities)

    def body(self, window: Tensor) -> Tensor:
        _, (last, _) = self.lstm(window.permute(1, 0, 2))
        return self.head(last[-1])


class ByBatch(Own):
    """It looks at how many windows come together."""

    def build(self, channels: int, activities: int) -> None:
        self.head = nn.Linear(channels, activities)

    def body(self, window: Tensor) -> Tensor:
        return self.head(window.mean(1) if len(window) > 3 else window.amax(1))


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, make_signal, make_windows):
    def trained(kind: type[Network]) -> Fitted:
        monkeypatch.setattr("har.training._fit.find_network", lambda name, root: kind)
        signal = make_signal()
        options = FitOptions(network=kind.__name__, epochs=1, batch_size=32, device="cpu")
        return fit(make_windows(signal, seconds=8.0), ("s00", "s01"), ("s02",), signal=signal, options=options)

    return trained


@pytest.mark.parametrize(
    ("kind", "by_torch"),
    [
        (BidirectionalLstm, False),
        (ConvolutionsAndGru, False),
        *(
            pytest.param(kind, True, marks=BY_TORCH)
            for kind in (Attention, ClassToken, OtherConvolutions, InTorchsOrder)
        ),
    ],
)
def test_a_network_of_these_layers_is_served_as_torch_trained_it(
    kind: type[Network], by_torch: bool, train, describe_model, make_windows, tmp_path: Path
) -> None:
    fitted = train(kind)
    path = export(fitted, tmp_path / "model.onnx", describe_model(fitted))
    assert check_parity(fitted, path) <= 1e-4
    assert any(node.name.startswith("logits/") for node in onnx.load(path).graph.node) == by_torch
    windows = make_windows(fitted.signal).batch()
    for count in (1, 2, 5, 64):
        expected, got = fitted.predict(windows[:count]), Classifier(path).predict(windows[:count])
        np.testing.assert_allclose(got.probabilities, expected[0], atol=1e-4)


def test_a_network_that_looks_at_the_batch_is_refused_by_the_reason(train, describe_model, tmp_path: Path) -> None:
    fitted = train(ByBatch)
    with pytest.raises(
        TrainingError, match=r"a network that torch can export, but got .*specialized it to be a constant"
    ):
        export(fitted, tmp_path / "model.onnx", describe_model(fitted))
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_answer_a_batch_is_not_kept(
    train, describe_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Classifier, windows: object) -> None:
        raise ModelError(where="model.onnx", expected="an answer", got="dimensions must match", remedy="Roll back.")

    fitted = train(ConvolutionsAndGru)
    monkeypatch.setattr(Classifier, "predict", refuse)
    with pytest.raises(ParityError, match=r"at batch 1: expected answers as torch gives them, but got dimensions must"):
        export(fitted, tmp_path / "model.onnx", describe_model(fitted))
    assert not list(tmp_path.iterdir())
