"""Light augmentation of raw windows: small rotations, gains and noise, as between sensors and ways to wear them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from har.training._signal import Signal

ROTATION_RAD = math.radians(6.0)
"""Standard deviation of the rotation about each axis; a large one would hide the posture (sitting or standing)."""
SCALE = 0.06
"""Standard deviation of each channel's gain."""
JITTER = 0.02
"""Standard deviation of the white noise, relative to that of each channel over the training windows."""


def augment(windows: Tensor, signal: Signal, deviation: Tensor) -> Tensor:
    """A rotated, scaled and noisy copy of windows (N, T, C); draws from torch's generator.

    Args:
        windows: float32 (N, T, C).
        signal: names the three-axis sensors; all of a window get the same rotation, because they share a board.
        deviation: standard deviation of each channel, (C,).
    """
    count, _, channels = windows.shape
    rotations = torch.eye(channels, device=windows.device).repeat(count, 1, 1)
    if signal.triples:
        rotation = _rotations(count, windows.device)
        for triple in signal.triples:
            rotations[:, triple[0] : triple[2] + 1, triple[0] : triple[2] + 1] = rotation
    gains = 1 + SCALE * torch.randn(count, 1, channels, device=windows.device)
    noise = JITTER * deviation * torch.randn_like(windows)
    return torch.matmul(windows, rotations) * gains + noise


def _rotations(count: int, device: torch.device) -> Tensor:
    """Rotation matrices (count, 3, 3) from axis-angle vectors (Rodrigues)."""
    vector = ROTATION_RAD * torch.randn(count, 3, device=device)
    x, y, z = vector.unbind(1)
    zero = torch.zeros_like(x)
    skew = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), 1).reshape(count, 3, 3)
    angle = torch.sqrt((vector * vector).sum(1)).clamp_min(1e-9)[:, None, None]
    eye = torch.eye(3, device=device)
    linear, quadratic = torch.sin(angle) / angle, (1 - torch.cos(angle)) / (angle * angle)
    return eye + linear * skew + quadratic * torch.matmul(skew, skew)
