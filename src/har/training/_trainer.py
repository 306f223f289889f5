"""One training pass: AdamW on a one-cycle schedule, with an exponential moving average of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from har.errors import TrainingError
from har.training._augment import augment
from har.training._calibration import log_loss
from har.training._fitted import PREDICT_BATCH, EpochReport
from har.training._resident import Resident
from har.training._signal import Signal
from har.training.networks import Network
from har.windows import WindowSet

ECHOED = 16
"""Batches that are prepared together where a network reads each prepared batch more than once."""


@dataclass
class Pass:
    """The result of one pass.

    Attributes:
        module: the averaged network of the chosen epoch, in evaluation mode.
        epoch: the chosen epoch, from 1.
        logits: float64 (N, K) of the validation windows at that epoch; None without validation windows.
    """

    module: Network
    epoch: int
    logits: NDArray[np.float64] | None


@dataclass
class _State:
    module: Network
    averaged: Network
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    deviation: Tensor
    steps: int


class Trainer:
    """Trains fresh networks of one kind on one device; all random numbers come from torch's global generator.

    Args:
        network: makes one for a signal: its class, or `configured`.
        signal: what the windows hold; its activities are the classes that the labels count.
        epochs: length of the learning rate schedule.
        batch_size: windows per step.
        device: where to train.
        on_epoch: called after every epoch.
    """

    def __init__(
        self,
        network: Callable[[Signal], Network],
        signal: Signal,
        *,
        epochs: int,
        batch_size: int,
        device: torch.device,
        on_epoch: Callable[[EpochReport], None] | None = None,
    ) -> None:
        self.network, self.signal, self.epochs = network, signal, epochs
        self.batch_size, self.device, self.on_epoch = batch_size, device, on_epoch

    def run(self, train: WindowSet, validation: WindowSet, phase: Literal["search", "refit"], stop: int) -> Pass:
        """Train to epoch `stop` of the schedule and choose the epoch with the lowest loss on `validation`.

        Without validation windows, the last epoch is chosen.
        """
        resident, held_out = Resident(train, self.device), Resident(validation, self.device)
        state = self._start(resident)
        best, lowest = Pass(state.averaged, 0, None), math.inf
        for epoch in range(1, stop + 1):
            total = self._train(state, resident)
            if not math.isfinite(total):
                raise TrainingError(
                    where=f"{phase}, epoch {epoch}",
                    expected="a finite loss",
                    got=str(total),
                    remedy="Look for values in the training windows that are not in SI units.",
                )
            report = EpochReport(phase, epoch, stop, total / len(train))
            if len(validation):
                logits = self._logits(state.averaged, held_out)
                loss = log_loss(logits, validation.labels)
                accuracy = float((logits.argmax(1) == validation.labels).mean())
                report = replace(report, validation_loss=loss, validation_accuracy=accuracy)
                if loss < lowest:
                    best, lowest = Pass(copy.deepcopy(state.averaged), epoch, logits), loss
            if self.on_epoch is not None:
                self.on_epoch(report)
        return best if len(validation) else Pass(state.averaged, stop, None)

    def _start(self, train: Resident) -> _State:
        module = self.network(self.signal).to(self.device)
        deviation = self._observe(module, train)
        values = module.optimisation
        # Batch normalisation needs two windows per step.
        steps = max(1, min(math.ceil(len(train) / self.batch_size), len(train) // 2))
        optimiser = torch.optim.AdamW(
            module.parameters(), values.learning_rate, weight_decay=values.weight_decay, fused=True
        )
        total = steps * self.epochs * values.echoes
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, values.learning_rate, total_steps=total)
        return _State(module, copy.deepcopy(module).eval(), optimiser, schedule, deviation, steps)

    def _train(self, state: _State, train: Resident) -> float:
        """Train one epoch; returns the sum of the loss over all windows, as a mean over their echoes."""
        module = state.module.train()
        # Nothing is asked of the device before the end of the epoch: a question would wait for its queue.
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for inputs, labels in self._batches(state, train):
            members = module.members(inputs)
            loss = functional.cross_entropy(
                members.flatten(0, 1),
                labels.repeat_interleave(members.shape[1]),
                label_smoothing=module.optimisation.smoothing,
            )
            state.optimiser.zero_grad()
            torch.autograd.backward(loss * members.shape[1])
            state.optimiser.step()
            state.schedule.step()
            _update_average(state.averaged, module)
            total += loss.detach().double() * len(labels)
        return float(total) / module.optimisation.echoes

    def _batches(self, state: _State, train: Resident) -> Iterator[tuple[Tensor, Tensor]]:
        """What the network reads of augmented windows, and their labels, batch by batch for one epoch.

        Augmentation and descriptors cost several times a step of a small network. With echoes, some batches are
        therefore prepared together and each of their windows is read several times, in another order and with other
        dropout each time (data echoing, Choi et al. 2019, arXiv 1907.05550); the memory stays that of these batches.
        """
        echoes = state.module.optimisation.echoes
        together = ECHOED if echoes > 1 else 1
        batches = torch.tensor_split(torch.randperm(len(train)).to(self.device), state.steps)
        for first in range(0, state.steps, together):
            group = [self._prepared(state, train, rows) for rows in batches[first : first + together]]
            yield from group
            if echoes > 1:
                inputs, labels = (torch.cat(part) for part in zip(*group, strict=True))
                orders = [torch.randperm(len(labels)).to(self.device) for _ in range(echoes - 1)]
                for rows in (rows for order in orders for rows in torch.tensor_split(order, len(group))):
                    yield inputs[rows], labels[rows]

    def _prepared(self, state: _State, train: Resident, rows: Tensor) -> tuple[Tensor, Tensor]:
        windows, labels = train.batch(rows)
        with torch.no_grad():
            return state.module.prepare(augment(windows, self.signal, state.deviation)), labels

    def _observe(self, module: Network, train: Resident) -> Tensor:
        """Pass every training window to the network once; returns each channel's standard deviation, (C,)."""
        sums = torch.zeros(2, len(self.signal.channels), dtype=torch.float64, device=self.device)
        with torch.no_grad():
            for first in range(0, len(train), PREDICT_BATCH):
                windows, _ = train.batch(slice(first, first + PREDICT_BATCH))
                module.observe(windows)
                sums += torch.stack((windows.double().mean(1).sum(0), windows.double().square().mean(1).sum(0)))
        mean, square = sums / len(train)
        deviation: Tensor = (square - mean.square()).clamp_min(0).sqrt().float()
        return deviation

    def _logits(self, module: Network, windows: Resident) -> NDArray[np.float64]:
        parts = []
        with torch.no_grad():
            for first in range(0, len(windows), PREDICT_BATCH):
                values, _ = windows.batch(slice(first, first + PREDICT_BATCH))
                parts.append(module.logits(values, module.describe(values)))
        logits: NDArray[np.float64] = torch.cat(parts).double().cpu().numpy()
        return logits


def _update_average(averaged: Network, module: Network) -> None:
    """Move the moving average towards the parameters; buffers, such as running statistics, are copied."""
    with torch.no_grad():
        weight = 1 - module.optimisation.average
        torch._foreach_lerp_(list(averaged.parameters()), list(module.parameters()), weight)
        for average, buffer in zip(averaged.buffers(), module.buffers(), strict=True):
            average.copy_(buffer)
