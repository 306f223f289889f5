"""Windows and subjects in, a trained and calibrated network out; the same seed gives the same network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from har.errors import NotEnoughDataError, TrainingError
from har.training._alone import alone
from har.training._calibration import fit_temperature, log_loss
from har.training._fitted import EpochReport, FitOptions, Fitted
from har.training._regimes import joint_signal, joint_windows
from har.training._signal import Signal
from har.training._trainer import Trainer
from har.training.networks import Network, configured, find_network
from har.windows import WindowSet


def fit(
    windows: WindowSet,
    train: Sequence[str],
    validation: Sequence[str],
    *,
    signal: Signal,
    options: FitOptions = FitOptions(),  # noqa: B008  frozen
    regimes: NDArray[np.integer] | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> Fitted:
    """Train a network in two passes.

    The search trains on the train subjects and chooses the epoch and the temperature on the validation subjects. The
    refit trains a fresh network on both for that many epochs of the same schedule, so that no labelled window is
    wasted. Without validation windows there is no refit: the last epoch and temperature 1 are taken.

    Args:
        windows: labelled windows; those with label -1 are left out.
        train: subjects to train on.
        validation: subjects to choose the epoch and the temperature on.
        signal: what the windows hold; its activities name the labels.
        options: network, seed, epochs, batch size and device. Torch's global generators are neither read nor moved.
        regimes: (N,), from 0: the distribution that each of `windows` comes from; None: all from the same. If there
            are several, they get about the same weight, and the network has separate classes for each inside.
        on_epoch: called after every epoch.

    Raises:
        SettingsError: an unknown network.
        NotEnoughDataError: no labelled training windows, or a single activity.
        TrainingError: a subject on both sides, windows of another shape, CUDA asked for but absent, or a loss that is
            not finite.
    """
    network = configured(find_network(options.network, options.root), options.values)
    device = _device(options.device)
    _check_subjects(train, validation)
    _check_shape(windows, signal)
    is_labelled = windows.labels >= 0
    labelled = windows.select(is_labelled)
    _check_labels(labelled, signal)
    train_windows, validation_windows = labelled.for_subjects(tuple(train)), labelled.for_subjects(tuple(validation))
    _check_activities(train_windows, signal)
    separate = regimes is not None and len(np.unique(regimes[is_labelled & np.isin(windows.subjects, train)])) > 1
    data, classes, count = labelled, signal, 1
    if regimes is not None and separate:
        count = int(regimes.max()) + 1
        classes = joint_signal(signal, count)
        data = joint_windows(labelled, regimes[is_labelled], len(signal.activities), options.seed)
    with _reproducible(options.seed, device):
        trainer = Trainer(
            network,
            classes,
            epochs=options.epochs,
            batch_size=options.batch_size,
            device=device,
            on_epoch=on_epoch,
        )
        trained = _two_passes(trainer, data, train, validation, len(signal.activities), options.seed)
    trained.module.inverse_temperature.fill_(1 / trained.temperature)
    if count > 1:
        trained.module.sum_regimes(count)
    return Fitted(
        module=trained.module.eval(),
        signal=signal,
        network=options.network,
        epoch=trained.epoch,
        temperature=trained.temperature,
        validation_accuracy=trained.accuracy,
        validation_loss=trained.loss,
        missing_activities=_missing_activities((train_windows, validation_windows), signal),
        train_windows=len(train_windows),
        validation_windows=len(validation_windows),
    )


@dataclass
class _Trained:
    module: Network
    epoch: int
    temperature: float
    accuracy: float | None
    loss: float | None


def _two_passes(
    trainer: Trainer, data: WindowSet, train: Sequence[str], validation: Sequence[str], activities: int, seed: int
) -> _Trained:
    """Search and refit; classes that differ by a multiple of `activities` are the same activity."""
    held_out = data.for_subjects(tuple(validation))
    search = trainer.run(data.for_subjects(tuple(train)), held_out, "search", trainer.epochs)
    if search.logits is None:
        return _Trained(search.module, search.epoch, 1.0, None, None)
    temperature = fit_temperature(search.logits, held_out.labels)
    accuracy = float((search.logits.argmax(1) % activities == held_out.labels % activities).mean())
    loss = log_loss(search.logits / temperature, held_out.labels)
    torch.manual_seed(seed)
    refit = trainer.run(data.for_subjects((*train, *validation)), held_out.select(slice(0)), "refit", search.epoch)
    return _Trained(refit.module, search.epoch, temperature, accuracy, loss)


def _check_subjects(train: Sequence[str], validation: Sequence[str]) -> None:
    shared = sorted(set(train) & set(validation))
    if shared:
        raise TrainingError(
            where="split by subject",
            expected="every subject on one side only",
            got=f"{shared[0]!r} among both the train and the validation subjects",
            remedy="Remove it from one of them.",
        )


def _check_shape(windows: WindowSet, signal: Signal) -> None:
    shape = (windows.length, windows.samples.shape[1])
    if shape != (signal.length, len(signal.channels)):
        raise TrainingError(
            where="training windows",
            expected=f"{signal.length} samples of {len(signal.channels)} channels",
            got=f"{shape[0]} samples of {shape[1]}",
            remedy="Cut the windows with the same settings as the signal.",
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


def _check_activities(train: WindowSet, signal: Signal) -> None:
    present = np.unique(train.labels)
    if len(present) < 2:
        raise NotEnoughDataError(
            where="training windows",
            expected="labelled windows of at least two activities",
            got=f"{len(train)} windows, all of {signal.activities[present[0]]!r}" if len(present) else "none",
            remedy="Ingest labelled recordings of the train subjects, or change the split.",
        )


def _missing_activities(trained_on: Sequence[WindowSet], signal: Signal) -> tuple[str, ...]:
    present = np.unique(np.concatenate([windows.labels for windows in trained_on]))
    return tuple(name for label, name in enumerate(signal.activities) if label not in present)


def _device(name: str) -> torch.device:
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        raise TrainingError(
            where="training.device", expected="auto, cpu or cuda", got=repr(name), remedy="Choose one of them."
        )
    if not torch.cuda.is_available():
        raise TrainingError(
            where="training.device",
            expected="a CUDA device",
            got="none",
            remedy='Set training.device = "auto" or "cpu", or install the CUDA build of torch: make setup TORCH=cu130.',
        )
    return torch.device("cuda", torch.cuda.current_device())


@contextmanager
def _reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch and use deterministic kernels on one thread; restores everything afterwards."""
    devices = [device] if device.type == "cuda" else []
    with (
        alone(),
        torch.random.fork_rng(devices),
        torch.backends.cudnn.flags(benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield
