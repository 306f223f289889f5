"""Windows where a network is trained: batches are cut there, and no window is copied before its batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from har.windows import WindowSet


class Resident:
    """Labelled windows for one device.

    In the CPU's memory they stay as they are. To another device, their samples and labels are copied once.

    Args:
        windows: the windows.
        device: where the batches are wanted.
        copied: whether the samples are copied there; None: unless the device is the CPU.
    """

    def __init__(self, windows: WindowSet, device: torch.device, *, copied: bool | None = None) -> None:
        self._windows = windows
        self._labels = torch.from_numpy(windows.labels.astype(np.int64)).to(device)
        self._view: Tensor | None = None
        if copied or (copied is None and device.type != "cpu"):
            self._starts = torch.from_numpy(windows.starts.astype(np.int64)).to(device)
            self._view = _view(torch.tensor(windows.samples, device=device), windows.length)

    def __len__(self) -> int:
        return len(self._windows)

    def batch(self, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        """The chosen windows, float32 (B, T, C), and their labels, int64 (B,), on the device."""
        if self._view is not None:
            return self._view[self._starts[rows]], self._labels[rows]
        index = rows if isinstance(rows, slice) else rows.numpy()
        return torch.from_numpy(self._windows.batch(index)), self._labels[rows]


def _view(samples: Tensor, length: int) -> Tensor:
    """Every possible window of samples (n, C), without a copy, (n - T + 1, T, C)."""
    rows, channels = samples.shape
    return samples.as_strided((max(rows - length + 1, 0), length, channels), (channels, channels, 1))
