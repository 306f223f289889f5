"""Light augmentation of raw windows: how the same movement looks on another arm with another sensor."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from har.training._signal import Signal

ROTATION_RAD = math.radians(6.0)
"""Standard deviation of the turn about each axis; a heavy one would destroy what tells sitting from standing."""
SCALE = 0.06
"""Standard deviation of each channel's gain."""
JITTER = 0.02
"""Standard deviation of white noise, as a share of each channel's own over the training windows."""


def augment(windows: Tensor, signal: Signal, deviation: Tensor) -> Tensor:
    """A turned, scaled and noisy copy of windows (N, T, C); draws from torch's generator.

    Args:
        windows: float32 (N, T, C).
        signal: names the three-axis sensors; all of one window turn alike, for they sit on one board.
        deviation: standard deviation of each channel, (C,).
    """
    count, _, channels = windows.shape
    turns = torch.eye(channels, device=windows.device).repeat(count, 1, 1)
    if signal.triples:
        turn = _rotations(count, windows.device)
        for triple in signal.triples:
            turns[:, triple[0] : triple[2] + 1, triple[0] : triple[2] + 1] = turn
    gains = 1 + SCALE * torch.randn(count, 1, channels, device=windows.device)
    noise = JITTER * deviation * torch.randn_like(windows)
    return torch.matmul(windows, turns) * gains + noise


def _rotations(count: int, device: torch.device) -> Tensor:
    """Rotation matrices (count, 3, 3) from axis-angle vectors (Rodrigues)."""
    vector = ROTATION_RAD * torch.randn(count, 3, device=device)
    x, y, z = vector.unbind(1)
    zero = torch.zeros_like(x)
    skew = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), 1).reshape(count, 3, 3)
    angle = torch.sqrt((vector * vector).sum(1)).clamp_min(1e-9)[:, None, None]
    eye = torch.eye(3, device=device)
    once, twice = torch.sin(angle) / angle, (1 - torch.cos(angle)) / (angle * angle)
    return eye + once * skew + twice * torch.matmul(skew, skew)
