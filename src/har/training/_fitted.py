"""The values that go into `fit` and come out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from har.settings import Value
from har.training._alone import alone
from har.training._signal import Signal
from har.training.networks import Network

PREDICT_BATCH = 256


@dataclass(frozen=True)
class FitOptions:
    """What decides a training besides its data; the defaults are those of har.toml.

    Attributes:
        network: a name in `har.training.networks`, `module:Class`, or the path of a Python file that holds a network.
        seed: of initial weights, order, dropout and augmentation.
        epochs: at most.
        batch_size: windows per step.
        device: "auto" (CUDA if available), "cpu" or "cuda".
        values: of the network, in place of its own: of its optimisation, and arguments of its class.
        root: the project's folder, which drop-in networks are found from; None: that of the nearest har.toml.
    """

    network: str = "spectral"
    seed: int = 0
    epochs: int = 15
    batch_size: int = 128
    device: str = "auto"
    root: Path | None = None
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class EpochReport:
    """The figures of one epoch.

    Attributes:
        phase: "search" on the train subjects, or "refit" on train and validation subjects together.
        epoch: counts from 1.
        epochs: of this phase, at most.
        loss: mean training loss.
        validation_loss: negative log-likelihood on the validation subjects; None in the refit.
        validation_accuracy: share of their windows that were classified correctly; None in the refit.
    """

    phase: Literal["search", "refit"]
    epoch: int
    epochs: int
    loss: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None

    def __str__(self) -> str:
        """One line for a progress bar."""
        line = f"{self.phase}, loss {self.loss:.3f}"
        if self.validation_loss is None or self.validation_accuracy is None:
            return line
        return f"{line}, validation loss {self.validation_loss:.3f}, accuracy {self.validation_accuracy:.1%}"


@dataclass(frozen=True)
class Fitted:
    """A trained network and the figures of its training.

    Attributes:
        module: the torch network, in evaluation mode.
        signal: what its windows hold.
        network: the name it was asked for by.
        epoch: the epoch with the lowest validation loss; the refit stopped there too.
        temperature: from the validation logits of the search; 1 if there were too few of them.
        validation_accuracy: of the search at that epoch, on subjects that it had not seen.
        validation_loss: likewise, the calibrated negative log-likelihood.
        missing_activities: activities without a single window of the train or validation subjects; the network cannot
            find them.
        train_windows: labelled windows of the train subjects.
        validation_windows: labelled windows of the validation subjects.
    """

    module: Network
    signal: Signal
    network: str
    epoch: int
    temperature: float
    validation_accuracy: float | None
    validation_loss: float | None
    missing_activities: tuple[str, ...]
    train_windows: int
    validation_windows: int

    @property
    def summary(self) -> str:
        """The chosen epoch and what it reached on the validation subjects, in one line."""
        if self.validation_accuracy is None or self.validation_loss is None:
            return f"epoch {self.epoch}, without validation windows"
        return (
            f"epoch {self.epoch}: accuracy {self.validation_accuracy:.1%}, log loss {self.validation_loss:.3f} "
            f"at temperature {self.temperature:.2f}"
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of `features`."""
        return self.module.describe.names

    def describe(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features float32 (N, F) of windows float32 (N, T, C) in SI units."""
        device = self.module.inverse_temperature.device
        with alone(), torch.no_grad():
            features = self.module.describe(torch.from_numpy(np.ascontiguousarray(window, np.float32)).to(device))
        values: NDArray[np.float32] = features.cpu().numpy()
        return values

    def predict(self, window: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities float32 (N, K) and features float32 (N, F) of windows float32 (N, T, C) in SI units."""
        device = self.module.inverse_temperature.device
        parts: list[tuple[Tensor, Tensor]] = []
        with alone(), torch.no_grad():
            for first in range(0, max(1, len(window)), PREDICT_BATCH):
                batch = torch.from_numpy(np.ascontiguousarray(window[first : first + PREDICT_BATCH], np.float32))
                parts.append(self.module(batch.to(device)))
        probabilities, features = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
        return probabilities, features
