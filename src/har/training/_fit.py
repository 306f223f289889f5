"""Windows and subjects in, a fitted and calibrated network out; the same seed gives the same network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from har.errors import NotEnoughDataError, TrainingError
from har.training._augment import augment
from har.training._calibration import fit_temperature, log_loss
from har.training._networks import NETWORKS, Network
from har.training._regimes import joint_signal, joint_windows
from har.training._signal import Signal
from har.windows import WindowSet

PREDICT_BATCH = 256


@dataclass(frozen=True)
class EpochReport:
    """How one epoch went.

    Attributes:
        phase: "search" on the train subjects, or "refit" on train and validation subjects together.
        epoch: counts from 1.
        epochs: of this phase, at most.
        loss: mean training loss.
        validation_loss: negative log-likelihood on the validation subjects, None in the refit.
        validation_accuracy: share of their windows named rightly, None in the refit.
    """

    phase: Literal["search", "refit"]
    epoch: int
    epochs: int
    loss: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


@dataclass(frozen=True)
class Fitted:
    """A trained network and what is known about it.

    Attributes:
        module: the torch network, in evaluation mode.
        signal: what its windows hold.
        network: its name, "spectral" or "dscnn".
        seed: what it was drawn with.
        epoch: the epoch that was best on the validation subjects; the refit stopped there too.
        temperature: from the validation logits of the search; 1 if there were too few of them.
        validation_accuracy: of the search at that epoch, on subjects it had not seen.
        validation_loss: likewise, calibrated negative log-likelihood.
        missing_activities: classes without a single training window; the network will not find them.
        train_windows: labelled windows of the train subjects.
        validation_windows: labelled windows of the validation subjects.
        history: every epoch, in order.
    """

    module: Network
    signal: Signal
    network: str
    seed: int
    epoch: int
    temperature: float
    validation_accuracy: float | None
    validation_loss: float | None
    missing_activities: tuple[str, ...]
    train_windows: int
    validation_windows: int
    history: tuple[EpochReport, ...]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of `features`."""
        return self.module.describe.names

    def predict(self, window: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities float32 (N, K) and features float32 (N, F) of windows float32 (N, T, C) in SI units."""
        device = self.module.inverse_temperature.device
        parts: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad():
            for first in range(0, max(1, len(window)), PREDICT_BATCH):
                batch = torch.from_numpy(np.ascontiguousarray(window[first : first + PREDICT_BATCH], np.float32))
                parts.append(self.module(batch.to(device)))
        probabilities, features = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
        return probabilities, features


def fit(
    windows: WindowSet,
    train: Sequence[str],
    validation: Sequence[str],
    *,
    signal: Signal,
    network: str = "spectral",
    seed: int = 0,
    epochs: int = 15,
    batch_size: int = 128,
    device: str = "auto",
    regimes: NDArray[np.integer] | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> Fitted:
    """Train a network in two passes.

    The search trains on the train subjects and picks the epoch and the temperature on the validation subjects. The
    refit trains a fresh network on both for that many epochs of the same schedule, so that no subject is wasted;
    without validation windows there is no refit, and the last epoch and temperature 1 are taken.

    Args:
        windows: labelled windows; those with label -1 are left out.
        train: subjects to learn from.
        validation: subjects to choose the epoch and the temperature on.
        signal: what the windows hold; its activities give the labels their names.
        network: "spectral" or "dscnn".
        seed: of initial weights, order, dropout and augmentation; the global generators are neither read nor moved.
        epochs: at most.
        batch_size: windows per step.
        device: "auto" (CUDA if there is one), "cpu" or "cuda".
        regimes: (N,), from 0, the distribution that each of `windows` is from; None: all from one. With several, each
            weighs about the same, and the network tells them apart inside.
        on_epoch: called after every epoch.

    Raises:
        NotEnoughDataError: no labelled training windows, or a single class.
        TrainingError: an unknown network, CUDA asked for but absent, or a loss that is not finite.
    """
    if network not in NETWORKS:
        raise TrainingError(
            where="har.toml, training.network",
            expected=f"one of {', '.join(NETWORKS)}",
            got=repr(network),
            remedy="Name a network that exists.",
        )
    shared = sorted(set(train) & set(validation))
    if shared:
        raise TrainingError(
            where="split by subject",
            expected="train and validation subjects apart",
            got=f"{shared[0]!r} on both sides",
            remedy="Take each subject to one side only.",
        )
    _check_shape(windows, signal)
    known = windows.labels >= 0
    labelled = windows.select(known)
    learn, check = labelled.of(tuple(train)), labelled.of(tuple(validation))
    _check_labels(labelled, signal)
    missing = _check_classes(learn, signal)
    counts = len(learn), len(check)
    classes, own, worlds = len(signal.activities), signal, 1
    if regimes is not None and len(np.unique(regimes[known & np.isin(windows.subjects, train)])) > 1:
        worlds = int(regimes.max()) + 1
        signal = joint_signal(own, worlds)
        labelled = joint_windows(labelled, regimes[known], classes, seed)
        learn, check = labelled.of(tuple(train)), labelled.of(tuple(validation))
    where = _device(device)
    history: list[EpochReport] = []

    def tell(report: EpochReport) -> None:
        history.append(report)
        if on_epoch is not None:
            on_epoch(report)

    with _reproducible(seed, where):
        trainer = _Trainer(signal, network, epochs, batch_size, where)
        search = trainer.run(learn, check, "search", epochs, tell)
        temperature, accuracy, loss, module = 1.0, None, None, search.module
        if search.logits is not None:
            temperature = fit_temperature(search.logits, check.labels)
            accuracy = float((search.logits.argmax(1) % classes == check.labels % classes).mean())
            loss = log_loss(search.logits / temperature, check.labels)
            torch.manual_seed(seed)
            both = labelled.of((*train, *validation))
            module = trainer.run(both, check.select(slice(0)), "refit", search.epoch, tell).module
    module.inverse_temperature.fill_(1 / temperature)
    if worlds > 1:
        module.sum_regimes(worlds)
    return Fitted(
        module=module.eval(),
        signal=own,
        network=network,
        seed=seed,
        epoch=search.epoch,
        temperature=temperature,
        validation_accuracy=accuracy,
        validation_loss=loss,
        missing_activities=missing,
        train_windows=counts[0],
        validation_windows=counts[1],
        history=tuple(history),
    )


@dataclass
class _Run:
    module: Network
    epoch: int
    logits: NDArray[np.float64] | None


class _Trainer:
    def __init__(self, signal: Signal, network: str, epochs: int, batch_size: int, device: torch.device) -> None:
        self.signal, self.network, self.epochs = signal, network, epochs
        self.batch_size, self.device = batch_size, device

    def run(
        self,
        learn: WindowSet,
        check: WindowSet,
        phase: Literal["search", "refit"],
        stop: int,
        tell: Callable[[EpochReport], None],
    ) -> _Run:
        """Train to epoch `stop` of the schedule; with `check`, keep the epoch with the least loss there."""
        module = NETWORKS[self.network](self.signal).to(self.device)
        deviation = self._observe(module, learn)
        recipe = module.recipe
        # Batch normalisation needs two windows a step.
        steps = max(1, min(math.ceil(len(learn) / self.batch_size), len(learn) // 2))
        optimiser = torch.optim.AdamW(
            module.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=steps * self.epochs)
        averaged = copy.deepcopy(module).eval()
        best = _Run(averaged, 0, None)
        least = math.inf
        for epoch in range(1, stop + 1):
            module.train()
            total = 0.0
            for picks in torch.tensor_split(torch.randperm(len(learn)), steps):
                windows, labels = self._batch(learn, picks.numpy())
                members = module.members(augment(windows, self.signal, deviation))
                loss = functional.cross_entropy(
                    members.flatten(0, 1),
                    labels.repeat_interleave(members.shape[1]),
                    label_smoothing=recipe.smoothing,
                )
                optimiser.zero_grad()
                torch.autograd.backward(loss * members.shape[1])
                optimiser.step()
                schedule.step()
                _follow(averaged, module, recipe.average)
                total += loss.item() * len(picks)
            if not math.isfinite(total):
                raise TrainingError(
                    where=f"{phase}, epoch {epoch}",
                    expected="a finite loss",
                    got=str(total),
                    remedy="Look for values that are no SI readings in the training windows.",
                )
            mean = total / len(learn)
            if not len(check):
                tell(EpochReport(phase, epoch, stop, mean))
                continue
            logits = self._logits(averaged, check)
            missed = log_loss(logits, check.labels)
            if missed < least:
                least = missed
                best = _Run(copy.deepcopy(averaged), epoch, logits)
            tell(EpochReport(phase, epoch, stop, mean, missed, float((logits.argmax(1) == check.labels).mean())))
        return best if len(check) else _Run(averaged, stop, None)

    def _observe(self, module: Network, learn: WindowSet) -> Tensor:
        """Show every training window once; gives each channel's standard deviation, (C,)."""
        sums = torch.zeros(2, len(self.signal.channels), dtype=torch.float64, device=self.device)
        with torch.no_grad():
            for first in range(0, len(learn), PREDICT_BATCH):
                windows, _ = self._batch(learn, slice(first, first + PREDICT_BATCH))
                module.observe(windows)
                sums += torch.stack((windows.double().mean(1).sum(0), windows.double().square().mean(1).sum(0)))
        mean, square = sums / len(learn)
        deviation: Tensor = (square - mean.square()).clamp_min(0).sqrt().float()
        return deviation

    def _batch(self, windows: WindowSet, picks: NDArray[np.integer] | slice) -> tuple[Tensor, Tensor]:
        values = torch.from_numpy(windows.batch(picks)).to(self.device)
        return values, torch.from_numpy(windows.labels[picks].astype(np.int64)).to(self.device)

    def _logits(self, module: Network, windows: WindowSet) -> NDArray[np.float64]:
        parts = []
        with torch.no_grad():
            for first in range(0, len(windows), PREDICT_BATCH):
                values, _ = self._batch(windows, slice(first, first + PREDICT_BATCH))
                parts.append(module.logits(values, module.describe(values)))
        logits: NDArray[np.float64] = torch.cat(parts).double().cpu().numpy()
        return logits


def _follow(averaged: Network, module: Network, share: float) -> None:
    """Move the exponential average of the parameters; running statistics are taken as they are."""
    with torch.no_grad():
        torch._foreach_lerp_(list(averaged.parameters()), list(module.parameters()), 1 - share)
        for kept, buffer in zip(averaged.buffers(), module.buffers(), strict=True):
            kept.copy_(buffer)


def _check_shape(windows: WindowSet, signal: Signal) -> None:
    shape = (windows.length, windows.samples.shape[1])
    if shape != (signal.length, len(signal.channels)):
        raise TrainingError(
            where="training windows",
            expected=f"{signal.length} samples of {len(signal.channels)} channels",
            got=f"{shape[0]} samples of {shape[1]}",
            remedy="Cut the windows with the settings that the signal was taken from.",
        )


def _check_labels(labelled: WindowSet, signal: Signal) -> None:
    largest = int(labelled.labels.max(initial=-1))
    if largest >= len(signal.activities):
        raise TrainingError(
            where="training labels",
            expected=f"labels below {len(signal.activities)}",
            got=str(largest),
            remedy="Take activities and labels from the same har.toml.",
        )


def _check_classes(learn: WindowSet, signal: Signal) -> tuple[str, ...]:
    present = np.unique(learn.labels)
    if len(present) < 2:
        raise NotEnoughDataError(
            where="training windows",
            expected="labelled windows of two activities at least",
            got=f"{len(learn)} windows, all of {signal.activities[present[0]]!r}" if len(present) else "none",
            remedy="Ingest labelled recordings of the train subjects, or change the split.",
        )
    return tuple(name for label, name in enumerate(signal.activities) if label not in present)


def _device(name: str) -> torch.device:
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        raise TrainingError(
            where="har.toml, training.device", expected="auto, cpu or cuda", got=repr(name), remedy="Name one of them."
        )
    if not torch.cuda.is_available():
        raise TrainingError(
            where="har.toml, training.device",
            expected="a CUDA device",
            got="none",
            remedy='Set training.device = "auto" or "cpu", or install the CUDA build of torch.',
        )
    return torch.device("cuda", torch.cuda.current_device())


@contextmanager
def _reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Own random state, one thread and deterministic kernels; all as before afterwards.

    Sums come out the same on one thread only, and steps this small gain nothing from more.
    """
    threads = torch.get_num_threads()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.backends.cudnn.flags(benchmark=False, deterministic=True):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
