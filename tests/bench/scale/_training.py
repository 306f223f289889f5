"""Seconds of one training epoch beside loops in bare torch, on windows of which none is copied for ours.

The bare loop trains the same network in the same order with the same optimiser, schedule, augmentation, loss and moving
average, on windows that lie in one resident tensor: what is left out is what a fit does besides (batches of a view, one
figure per epoch, checks). The DataLoader loop is what one would write first: a `Dataset` of windows, collated.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from har.settings import load_settings
from har.training import Signal
from har.training._augment import augment
from har.training._trainer import ECHOED, Trainer
from har.training.networks import Network, find_network
from har.windows import WindowSet, cut

WINDOWS = 2560
EPOCHS = 3
ROUNDS = 3
BATCH = 128
_SAME = 0.02
"""Relative difference of the losses of two loops that do the same."""


def measure(folder: Path, console: Console) -> dict[str, Any]:
    """CPU seconds of our epoch over those of the bare loop, and over those of the DataLoader loop."""
    settings = load_settings()
    signal = Signal.from_settings(settings)
    windows = _windows(signal, settings.stride)
    figures: dict[str, Any] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a fit does
    try:
        for name in ("spectral", "dscnn"):
            with console.status(f"training: {name} …"):
                figures |= _measured(name, windows, signal)
    finally:
        torch.set_num_threads(threads)
    return {
        "epoch_vs_bare_loop": max(figures["epoch_vs_bare_loop_spectral"], figures["epoch_vs_bare_loop_dscnn"]),
        **figures,
        "windows": len(windows),
        "window": f"{signal.length}x{len(signal.channels)}",
        "batch_size": BATCH,
        "cuda": torch.cuda.is_available(),
    }


def _measured(name: str, windows: WindowSet, signal: Signal) -> dict[str, Any]:
    network = find_network(name)
    resident = torch.from_numpy(windows.batch()), torch.from_numpy(windows.labels.astype(np.int64))
    loops: dict[str, Callable[[], tuple[float, float]]] = {
        "ours": lambda: _ours(network, windows, signal),
        "bare": lambda: _bare(network, _resident(*resident), signal, *resident),
        "loader": lambda: _bare(network, _loaded(windows), signal, *resident),
    }
    least = dict.fromkeys(loops, math.inf)
    losses: dict[str, float] = {}
    for _ in range(ROUNDS):
        for kind, loop in loops.items():
            torch.manual_seed(0)
            seconds, losses[kind] = loop()
            least[kind] = min(least[kind], seconds)
    # The order of sums differs, and steps of training amplify what rounding makes of that.
    if not math.isclose(losses["ours"], losses["bare"], rel_tol=_SAME):
        raise RuntimeError(f"the loops do not do the same: {name}, losses {losses}")
    return {
        f"epoch_vs_bare_loop_{name}": round(least["ours"] / least["bare"], 2),
        f"epoch_vs_dataloader_{name}": round(least["ours"] / least["loader"], 2),
        f"epoch_cpu_s_{name}": round(least["ours"], 2),
    }


def _ours(network: type[Network], windows: WindowSet, signal: Signal) -> tuple[float, float]:
    """CPU seconds of one of `EPOCHS` epochs as a fit runs them, and the mean loss of the last."""
    began = time.process_time()
    seen: list[float] = []
    trainer = Trainer(
        network,
        signal,
        epochs=EPOCHS,
        batch_size=BATCH,
        device=torch.device("cpu"),
        on_epoch=lambda report: seen.append(report.loss),
    )
    trainer.run(windows, windows.select(slice(0)), "refit", EPOCHS)
    return (time.process_time() - began) / EPOCHS, seen[-1]


def _bare(
    network: type[Network], batches: Iterator[Iterator[tuple[Tensor, Tensor]]], signal: Signal, x: Tensor, y: Tensor
) -> tuple[float, float]:
    """The same for a loop in plain torch over `batches`, an epoch at a time."""
    began = time.process_time()
    module = network(signal)
    with torch.no_grad():
        for first in range(0, len(x), 256):
            module.observe(x[first : first + 256])
        deviation = x.double().flatten(0, 1).std(0).float()
    values = module.optimisation
    optimiser = torch.optim.AdamW(
        module.parameters(), values.learning_rate, weight_decay=values.weight_decay, fused=True
    )
    steps = math.ceil(len(x) / BATCH) * EPOCHS * values.echoes
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, values.learning_rate, total_steps=steps)
    averaged = copy.deepcopy(module).eval()
    pairs = list(zip(averaged.parameters(), module.parameters(), strict=True))
    norms = [[one for one in net.modules() if isinstance(one, nn.BatchNorm1d)] for net in (averaged, module)]
    statistics = [
        pair for one, other in zip(*norms, strict=True) for pair in zip(one.buffers(), other.buffers(), strict=True)
    ]
    ours: list[Tensor] = [old for old, _ in pairs]
    theirs: list[Tensor] = [new for _, new in pairs]
    mean = 0.0
    module.train()
    for epoch in batches:
        total = torch.zeros(())
        for inputs, labels in _prepared(module, epoch, signal, deviation):
            members = module.members(inputs)
            loss = functional.cross_entropy(
                members.flatten(0, 1),
                labels.repeat_interleave(members.shape[1]),
                label_smoothing=values.smoothing,
            )
            optimiser.zero_grad()
            torch.autograd.backward(loss * members.shape[1])
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                torch._foreach_lerp_(ours, theirs, 1 - values.average)
                for old, new in statistics:
                    old.copy_(new)
            total += loss.detach() * len(labels)
        mean = float(total) / len(y) / values.echoes
    return (time.process_time() - began) / EPOCHS, mean


def _prepared(
    module: Network, epoch: Iterator[tuple[Tensor, Tensor]], signal: Signal, deviation: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    echoes = module.optimisation.echoes
    while group := list(islice(epoch, ECHOED if echoes > 1 else 1)):
        with torch.no_grad():
            held = [(module.prepare(augment(windows, signal, deviation)), labels) for windows, labels in group]
        yield from held
        if echoes > 1:
            inputs, labels = (torch.cat(part) for part in zip(*held, strict=True))
            for order in [torch.randperm(len(labels)) for _ in range(echoes - 1)]:
                yield from ((inputs[rows], labels[rows]) for rows in torch.tensor_split(order, len(held)))


def _resident(x: Tensor, y: Tensor) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
    for _ in range(EPOCHS):
        yield ((x[rows], y[rows]) for rows in torch.tensor_split(torch.randperm(len(x)), math.ceil(len(x) / BATCH)))


def _loaded(windows: WindowSet) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
    loader = DataLoader(_Windows(windows), batch_size=BATCH, shuffle=True)
    for _ in range(EPOCHS):
        yield iter(loader)


class _Windows(Dataset[tuple[Tensor, int]]):
    """Windows of a view, one by one."""

    def __init__(self, windows: WindowSet) -> None:
        self._windows = windows

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        start = self._windows.starts[index]
        values = self._windows.samples[start : start + self._windows.length]
        return torch.from_numpy(values), int(self._windows.labels[index])


def _windows(signal: Signal, stride: int) -> WindowSet:
    """Noise on a level and a rhythm that depend on the label: learnable, and as large as a study of some days."""
    rng = np.random.default_rng(0)
    count = (WINDOWS - 1) * stride + signal.length
    labels = np.arange(count) // (40 * stride) % len(signal.activities)
    rhythm = np.sin(np.arange(count) * (0.05 + 0.02 * labels))[:, None]
    level = np.sin(labels[:, None] + np.arange(len(signal.channels)))
    samples = (5 * level + 2 * rhythm + rng.normal(0, 0.5, (count, len(signal.channels)))).astype(np.float32)
    return cut(samples, np.zeros(count, np.int32), length=signal.length, stride=stride, labels=labels.astype(np.int16))
