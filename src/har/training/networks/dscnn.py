"""`dscnn`: a small convolutional network on the raw window."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from har.training.networks import Choice, Network, Optimisation, Scale, Signal


class DsCnn(Network):
    """Depthwise-separable convolutions over time with squeeze and excitation (Howard et al. 2017, Hu et al. 2018)."""

    optimisation = Optimisation(learning_rate=8e-3, weight_decay=0.05, smoothing=0.1, average=0.95)

    space = {"width": Choice((32, 48, 64))}  # noqa: RUF012  never changed

    def __init__(self, signal: Signal, width: int = 48) -> None:
        super().__init__(signal)
        self.scale = Scale(len(signal.channels))
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
        """Collect the scale of each channel."""
        self.scale.observe(windows.flatten(0, 1))

    def members(self, inputs: Tensor) -> Tensor:
        """Logits of a single member, with dropout."""
        logits: Tensor = self.head(functional.dropout(self._embed(inputs), 0.5, self.training))
        return logits.unsqueeze(1)

    def logits(self, window: Tensor, features: Tensor) -> Tensor:
        """Classify the window; the descriptors are for monitoring only."""
        logits: Tensor = self.head(self._embed(window))
        return logits

    def _embed(self, window: Tensor) -> Tensor:
        maps = self.blocks(self.stem(self.scale(window).transpose(1, 2)))
        return torch.cat((maps.mean(-1), maps.amax(-1)), 1)


class _Separable(nn.Module):
    """Depthwise over time, pointwise over channels, then a weight per channel from its mean over the window."""

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


NETWORK = DsCnn
