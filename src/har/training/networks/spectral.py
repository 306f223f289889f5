"""`spectral`: an ensemble of small perceptrons on the descriptors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from har.training.networks import Choice, Network, Optimisation, Scale, Signal


class Spectral(Network):
    """Small perceptrons on the standardised descriptors; their logits are averaged.

    The members share one matrix product per layer, so that an ensemble is hardly slower to serve than one of them.
    """

    optimisation = Optimisation(learning_rate=8e-3, weight_decay=0.05, smoothing=0.1, average=0.98, echoes=3)
    space = {"members": Choice((2, 4, 8)), "hidden": Choice((64, 96, 192))}  # noqa: RUF012  never changed

    def __init__(self, signal: Signal, members: int = 4, hidden: int = 96) -> None:
        super().__init__(signal)
        self.count, self.hidden = members, hidden
        inputs = len(self.describe.names)
        self.scale = Scale(inputs)
        self.first = nn.Linear(inputs, members * hidden)
        self.second = nn.Parameter(torch.empty(members, hidden, len(signal.activities)))
        self.bias = nn.Parameter(torch.zeros(members, len(signal.activities)))
        nn.init.uniform_(self.second, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))

    def observe(self, windows: Tensor) -> None:
        """Collect the scale of the descriptors."""
        self.scale.observe(self.describe(windows))

    def prepare(self, window: Tensor) -> Tensor:
        """The standardised descriptors."""
        standard: Tensor = self.scale(self.describe(window))
        return standard

    def members(self, inputs: Tensor) -> Tensor:
        """Logits of each perceptron, with dropout."""
        hidden = torch.relu(self.first(functional.dropout(inputs, 0.3, self.training)))
        hidden = functional.dropout(hidden, 0.5, self.training).reshape(-1, self.count, self.hidden)
        return torch.einsum("nmh,mhk->nmk", hidden, self.second) + self.bias

    def logits(self, window: Tensor, features: Tensor) -> Tensor:
        """The mean over the members, as one product."""
        hidden = torch.relu(self.first(self.scale(features)))
        return torch.matmul(hidden, self.second.flatten(0, 1) / self.count) + self.bias.mean(0)


NETWORK = Spectral
