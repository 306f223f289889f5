"""The networks: a raw window in SI units in, probabilities and named descriptors out."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from har.training._descriptors import Descriptors
from har.training._signal import Signal


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; one per network, found by subject-wise cross-validation.

    Attributes:
        learning_rate: peak of the one-cycle schedule of AdamW.
        weight_decay: of AdamW.
        smoothing: share of the label given to all classes.
        average: share of the past in the moving average of the weights, per step.
    """

    learning_rate: float
    weight_decay: float
    smoothing: float
    average: float


class Network(nn.Module):
    """What every network offers to fitting and export."""

    inverse_temperature: Tensor
    merge: Tensor
    recipe: Recipe

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self.describe = Descriptors(signal)
        self.register_buffer("inverse_temperature", torch.ones(1))
        self.register_buffer("merge", torch.eye(len(signal.activities)))
        self.regimes = 1

    @property
    def temperature(self) -> float:
        """What the logits are divided by (Guo et al. 2017)."""
        return 1.0 / float(self.inverse_temperature)

    def sum_regimes(self, regimes: int) -> None:
        """Answer with activities from now on, where the classes are those of so many regimes one after the other."""
        self.regimes = regimes
        self.merge = torch.eye(len(self.merge) // regimes, device=self.merge.device).repeat(regimes, 1)

    @abstractmethod
    def observe(self, windows: Tensor) -> None:
        """Take the scale of the inputs from one batch of training windows; called until the whole set has been seen."""

    @abstractmethod
    def members(self, window: Tensor) -> Tensor:
        """Logits of every member, (N, M, K), for the loss."""

    @abstractmethod
    def logits(self, window: Tensor, features: Tensor) -> Tensor:
        """Uncalibrated logits (N, K) from windows (N, T, C) and their descriptors (N, F)."""

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (N, K) and descriptors (N, F) of windows, float32 (N, T, C)."""
        features = self.describe(window)
        probabilities = torch.softmax(self.logits(window, features) * self.inverse_temperature, 1)
        if self.regimes > 1:
            probabilities = torch.matmul(probabilities, self.merge)
        return probabilities, features


class _Scale(nn.Module):
    """(x - mean) / deviation, from running sums in float64 over the training windows, clamped to ±6."""

    shift: Tensor
    gain: Tensor
    count: Tensor
    sums: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(size))
        self.register_buffer("gain", torch.ones(size))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64), persistent=False)
        self.register_buffer("sums", torch.zeros(2, size, dtype=torch.float64), persistent=False)

    def observe(self, values: Tensor) -> None:
        """Add rows (N, size)."""
        wide = values.double()
        self.count.add_(len(wide))
        self.sums.add_(torch.stack((wide.sum(0), (wide * wide).sum(0))))
        mean = self.sums[0] / self.count
        variance = (self.sums[1] / self.count - mean * mean).clamp_min(0)
        # A column that never moved carries nothing: a unit deviation keeps it at zero.
        deviation = torch.where(variance > 1e-8, variance.sqrt(), 1.0)
        self.shift.copy_(mean)
        self.gain.copy_(1 / deviation)

    def forward(self, values: Tensor) -> Tensor:
        """Standardise (…, size)."""
        return ((values - self.shift) * self.gain).clamp(-6.0, 6.0)


class Spectral(Network):
    """Descriptors, standardised, and several small perceptrons whose logits are averaged.

    The members share one matrix product per layer, so that an ensemble costs little more to serve than one.
    """

    recipe = Recipe(learning_rate=8e-3, weight_decay=0.05, smoothing=0.1, average=0.98)

    def __init__(self, signal: Signal, members: int = 4, hidden: int = 96) -> None:
        super().__init__(signal)
        self.count, self.hidden = members, hidden
        inputs = len(self.describe.names)
        self.scale = _Scale(inputs)
        self.first = nn.Linear(inputs, members * hidden)
        self.second = nn.Parameter(torch.empty(members, hidden, len(signal.activities)))
        self.bias = nn.Parameter(torch.zeros(members, len(signal.activities)))
        nn.init.uniform_(self.second, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))

    def observe(self, windows: Tensor) -> None:
        """Standardise by these windows' descriptors."""
        self.scale.observe(self.describe(windows))

    def members(self, window: Tensor) -> Tensor:
        """Every perceptron by itself, with dropout."""
        with torch.no_grad():
            standard = self.scale(self.describe(window))
        hidden = torch.relu(self.first(functional.dropout(standard, 0.3, self.training)))
        hidden = functional.dropout(hidden, 0.5, self.training).reshape(-1, self.count, self.hidden)
        return torch.einsum("nmh,mhk->nmk", hidden, self.second) + self.bias

    def logits(self, window: Tensor, features: Tensor) -> Tensor:
        """The members' mean, as one product."""
        hidden = torch.relu(self.first(self.scale(features)))
        return torch.matmul(hidden, self.second.flatten(0, 1) / self.count) + self.bias.mean(0)


class DsCnn(Network):
    """Depthwise-separable convolutions over time with squeeze and excitation (Howard et al. 2017, Hu et al. 2018)."""

    recipe = Recipe(learning_rate=8e-3, weight_decay=0.05, smoothing=0.1, average=0.95)

    def __init__(self, signal: Signal, width: int = 48) -> None:
        super().__init__(signal)
        self.scale = _Scale(len(signal.channels))
        self.stem = nn.Sequential(
            nn.Conv1d(len(signal.channels), width, 9, stride=4, padding=4, bias=False), nn.BatchNorm1d(width), nn.ReLU()
        )
        self.blocks = nn.Sequential(
            _Separable(width, width, 1),
            _Separable(width, 2 * width, 2),
            _Separable(2 * width, 2 * width, 1),
            _Separable(2 * width, 3 * width, 2),
        )
        self.head = nn.Linear(6 * width, len(signal.activities))

    def observe(self, windows: Tensor) -> None:
        """Standardise each channel."""
        self.scale.observe(windows.flatten(0, 1))

    def members(self, window: Tensor) -> Tensor:
        """The network by itself, as a single member."""
        logits: Tensor = self.head(functional.dropout(self._embed(window), 0.5, self.training))
        return logits.unsqueeze(1)

    def logits(self, window: Tensor, features: Tensor) -> Tensor:
        """Read the window; the descriptors serve monitoring only."""
        logits: Tensor = self.head(self._embed(window))
        return logits

    def _embed(self, window: Tensor) -> Tensor:
        maps = self.blocks(self.stem(self.scale(window).transpose(1, 2)))
        return torch.cat((maps.mean(-1), maps.amax(-1)), 1)


class _Separable(nn.Module):
    """Depthwise over time, pointwise over channels, then each channel weighed by what the whole window holds."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(inputs, inputs, 7, stride=stride, padding=3, groups=inputs, bias=False)
        self.norm_depthwise = nn.BatchNorm1d(inputs)
        self.pointwise = nn.Conv1d(inputs, outputs, 1, bias=False)
        self.norm_pointwise = nn.BatchNorm1d(outputs)
        self.squeeze = nn.Linear(outputs, outputs // 4)
        self.excite = nn.Linear(outputs // 4, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        maps = torch.relu(self.norm_depthwise(self.depthwise(maps)))
        maps = torch.relu(self.norm_pointwise(self.pointwise(maps)))
        weights = torch.sigmoid(self.excite(torch.relu(self.squeeze(maps.mean(-1)))))
        return maps * weights.unsqueeze(-1)


NETWORKS: dict[str, type[Network]] = {"spectral": Spectral, "dscnn": DsCnn}
