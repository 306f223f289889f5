"""What networks share: descriptors, calibrated probabilities, the parameters of the optimisation, and input scaling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from har.training._descriptors import Descriptors
from har.training._signal import Signal
from har.training.networks._space import Choice, Range


@dataclass(frozen=True)
class Optimisation:
    """How a network is trained; each network has its own values, chosen by subject-wise cross-validation.

    Attributes:
        learning_rate: peak of the one-cycle schedule of AdamW.
        weight_decay: of AdamW.
        smoothing: label smoothing, the share of the target that is spread over all classes.
        average: decay of the exponential moving average of the weights, per step.
        echoes: how often `members` reads an augmented window before it is augmented anew; more than once pays where
            `prepare` costs more than a step.
    """

    learning_rate: float
    weight_decay: float
    smoothing: float
    average: float
    echoes: int = 1


class Network(nn.Module, ABC):
    """Base of all networks: raw windows in SI units in, probabilities and named descriptors out.

    A subclass sets `optimisation`, may set `space`, and implements `observe`, `members` and `logits`. It is created
    with the signal as its only argument, and must treat each window on its own, whatever the batch.
    """

    inverse_temperature: Tensor
    merge: Tensor
    optimisation: Optimisation
    space: ClassVar[Mapping[str, Range | Choice]] = {}
    """What `har tune` may change: arguments of the class besides the signal; also bounds for `optimisation`."""

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
        """From now on, add up the probabilities of an activity over its regimes.

        The network's classes must be the activities of regime 0, then those of regime 1, and so on.
        """
        self.regimes = regimes
        self.merge = torch.eye(len(self.merge) // regimes, device=self.merge.device).repeat(regimes, 1)

    @abstractmethod
    def observe(self, windows: Tensor) -> None:
        """Collect statistics of the inputs before training, from windows float32 (N, T, C).

        Called with one batch after another until every training window has been passed once.
        """

    def prepare(self, window: Tensor) -> Tensor:
        """What `members` reads of augmented windows (N, T, C), as far as nothing in it is learned from the loss.

        Called without gradients. By default the windows themselves.
        """
        return window

    @abstractmethod
    def members(self, inputs: Tensor) -> Tensor:
        """Logits (N, M, K) of every ensemble member, for the loss; M is 1 for a single network."""

    @abstractmethod
    def logits(self, window: Tensor, features: Tensor) -> Tensor:
        """Uncalibrated logits (N, K) from windows (N, T, C) and their descriptors (N, F)."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Calibrated probabilities per activity from logits (N, K)."""
        probabilities = torch.softmax(logits * self.inverse_temperature, 1)
        if self.regimes > 1:
            probabilities = torch.matmul(probabilities, self.merge)
        return probabilities

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (N, K) and descriptors (N, F) of windows, float32 (N, T, C)."""
        features = self.describe(window)
        return self.probabilities(self.logits(window, features)), features


class Scale(nn.Module):
    """Standardises the last axis, (x - mean) / deviation, and clamps to ±6.

    `observe` collects the mean and deviation as running sums in float64.
    """

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
        """Add rows (N, size) to the statistics."""
        wide = values.double()
        self.count.add_(len(wide))
        self.sums.add_(torch.stack((wide.sum(0), (wide * wide).sum(0))))
        mean = self.sums[0] / self.count
        variance = (self.sums[1] / self.count - mean * mean).clamp_min(0)
        # A constant column carries no information: a deviation of 1 maps it to 0.
        deviation = torch.where(variance > 1e-8, variance.sqrt(), 1.0)
        self.shift.copy_(mean)
        self.gain.copy_(1 / deviation)

    def forward(self, values: Tensor) -> Tensor:
        """Standardise (…, size)."""
        return ((values - self.shift) * self.gain).clamp(-6.0, 6.0)
