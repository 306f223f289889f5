"""A trained network in, one `model.onnx` out whose values were compared with torch's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from har.errors import ModelError, ParityError, TrainingError
from har.files import replacing
from har.inference import Classifier, ModelMetadata, Prediction
from har.training._fitted import Fitted
from har.training._graph import translate_network
from har.training._novelty import Novelty, add_distance
from har.training._signal import Signal

TOLERANCE = 1e-4
"""Largest difference from torch: absolute, and relative for features beyond 1."""
BATCHES = (1, 2, 7, 64)


def export(fitted: Fitted, path: Path, metadata: ModelMetadata, *, novelty: Novelty | None = None) -> Path:
    """Write the network to `path`, with weights and metadata; the file is written completely or not at all.

    Args:
        fitted: the result of `fit`.
        path: of the file; its folder is created.
        metadata: stored in the file; must agree with `fitted` and `novelty`.
        novelty: the file's third output, `distance`, says how unlike the training data a window is; None: it has none.

    Raises:
        TrainingError: the metadata describes another network, or the network cannot be written as ONNX.
        ParityError: the file differs from torch by more than 1e-4; it is not kept.
    """
    _check_agreement(fitted, metadata, novelty)
    signal = fitted.signal
    model = translate_network(
        fitted.module,
        length=signal.length,
        channels=len(signal.channels),
        outputs={"probabilities": len(signal.activities), "features": len(fitted.feature_names)},
    )
    if novelty is not None:
        add_distance(model, novelty)
        onnx.checker.check_model(model, full_check=True)
    onnx.helper.set_model_props(model, metadata.to_properties())
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_bytes(model.SerializeToString())
        check_parity(fitted, draft, novelty=novelty)
    return path


def check_parity(fitted: Fitted, path: Path, *, tolerance: float = TOLERANCE, novelty: Novelty | None = None) -> float:
    """Compare a file with torch at batch sizes 1, 2, 7 and 64 on moving, resting, constant and saturated windows.

    Returns:
        The largest difference: absolute, and relative for features beyond 1.

    Raises:
        ParityError: the difference exceeds the tolerance.
    """
    classifier = Classifier(path, threads=1)
    largest = 0.0
    for batch in BATCHES:
        windows = trial_windows(fitted.signal, batch)
        expected, got = fitted.predict(windows), _answers(classifier, windows, path)
        pairs = {"probabilities": (expected[0], got.probabilities), "features": (expected[1], got.features)}
        if novelty is not None and got.distance is not None:
            pairs["distance"] = (novelty.distance(got.features).astype(np.float32), got.distance)
        for name, (torchs, onnxs) in pairs.items():
            if torchs.shape != onnxs.shape or not np.isfinite(onnxs).all():
                difference = np.inf
            else:
                difference = float((np.abs(torchs - onnxs) / np.maximum(1, np.abs(torchs))).max())
            if not difference <= tolerance:
                raise ParityError(
                    where=f"{path}, {name} at batch {batch}",
                    expected=f"torch's values within {tolerance:g}",
                    got=f"a difference of {difference:.3g}",
                    remedy="The file was not kept. Does a result depend on the batch? See docs/how-to/own-network.md.",
                )
            largest = max(largest, difference)
    return largest


def _answers(classifier: Classifier, windows: NDArray[np.float32], path: Path) -> Prediction:
    try:
        return classifier.predict(windows)
    except ModelError as error:
        raise ParityError(
            where=f"{path} at batch {len(windows)}",
            expected="answers as torch gives them",
            got=error.got,
            remedy="The file was not kept. Does a shape depend on the batch? See docs/how-to/own-network.md.",
        ) from error


def trial_windows(signal: Signal, count: int) -> NDArray[np.float32]:
    """Windows (count, T, C) as sensors record them: movement with an offset, rest, a constant, zeros, saturation."""
    generator = np.random.default_rng(count)
    channels = len(signal.channels)
    time = np.arange(signal.length)[None, :, None] / signal.rate_hz
    pace = generator.uniform(0.3, 4.0, (count, 1, channels))
    phase = generator.uniform(0, 2 * np.pi, (count, 1, channels))
    strength = generator.exponential(3.0, (count, 1, channels))
    offset = generator.normal(0, 5.0, (count, 1, channels))
    windows = offset + strength * np.sin(2 * np.pi * pace * time + phase)
    windows += generator.normal(0, 0.05, windows.shape)
    kind = np.arange(count) % 8
    windows[kind == 3] = (offset + generator.normal(0, 0.01, windows.shape))[kind == 3]
    windows[kind == 5] = np.broadcast_to(offset, windows.shape)[kind == 5]
    windows[kind == 6] = 0
    windows[kind == 7, :, 0] = np.clip(20 * windows[kind == 7, :, 0], -156.9, 156.9)
    return windows.astype(np.float32)


def _check_agreement(fitted: Fitted, metadata: ModelMetadata, novelty: Novelty | None) -> None:
    signal = fitted.signal
    expected = {
        "network": fitted.network,
        "activities": signal.activities,
        "channels": signal.channels,
        "units": signal.units,
        "rate_hz": signal.rate_hz,
        "length": signal.length,
        "feature_names": fitted.feature_names,
    }
    for name, value in expected.items():
        if getattr(metadata, name) != value:
            raise TrainingError(
                where=f"metadata, {name}",
                expected=str(value),
                got=str(getattr(metadata, name)),
                remedy="Pass the metadata of the network that is exported.",
            )
    distances = () if novelty is None else novelty.distances
    if metadata.distances != distances:
        raise TrainingError(
            where="metadata, distances",
            expected=str(distances),
            got=str(metadata.distances),
            remedy="Use Novelty.distances, or none for a file without a distance.",
        )
    if abs(metadata.temperature - fitted.temperature) > 1e-6:
        raise TrainingError(
            where="metadata, temperature",
            expected=f"{fitted.temperature}",
            got=f"{metadata.temperature}",
            remedy="Use Fitted.temperature.",
        )
