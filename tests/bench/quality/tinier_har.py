"""A network of the kind of TinierHAR (Bian et al. 2025, arXiv 2507.07949), written for this bench.

Separable convolutions with shortcuts, a bidirectional GRU over what they find, and a learned weight per time step. It
uses nothing that docs/how-to/own-network.md does not name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from har.training.networks import Network, Optimisation, Scale, Signal


class TinierHar(Network):
    """Four separable convolutions, a bidirectional GRU, and attention over its steps."""

    optimisation = Optimisation(learning_rate=5e-3, weight_decay=0.05, smoothing=0.1, average=0.95)

    def __init__(self, signal: Signal, width: int = 32, hidden: int = 16) -> None:
        super().__init__(signal)
        channels = len(signal.channels)
        self.scale = Scale(channels)
        self.blocks = nn.Sequential(
            _Separable(channels, width),
            nn.MaxPool1d(2),
            _Separable(width, width),
            nn.MaxPool1d(2),
            _Separable(width, width),
            _Separable(width, width),
        )
        self.gru = nn.GRU(width, hidden, batch_first=True, bidirectional=True)
        self.attention = nn.Linear(2 * hidden, 1)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(2 * hidden, len(signal.activities))

    def observe(self, windows: Tensor) -> None:
        """Collect the scale of each channel."""
        self.scale.observe(windows.flatten(0, 1))

    def members(self, inputs: Tensor) -> Tensor:
        """Logits of a single member."""
        return self._classify(inputs).unsqueeze(1)

    def logits(self, window: Tensor, features: Tensor) -> Tensor:
        """Classify the window; the descriptors are for monitoring only."""
        return self._classify(window)

    def _classify(self, window: Tensor) -> Tensor:
        maps = self.blocks(self.scale(window).transpose(1, 2))
        states, _ = self.gru(maps.transpose(1, 2))
        weights = torch.softmax(self.attention(states), 1)
        logits: Tensor = self.head(self.dropout((weights * states).sum(1)))
        return logits


class _Separable(nn.Module):
    """Depthwise over time, pointwise over channels, and a shortcut around both."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(inputs, inputs, 5, padding=2, groups=inputs, bias=False)
        self.pointwise = nn.Conv1d(inputs, outputs, 1, bias=False)
        self.norm = nn.BatchNorm1d(outputs)
        self.shortcut = nn.Conv1d(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.norm(self.pointwise(self.depthwise(maps))) + self.shortcut(maps))


NETWORK = TinierHar
