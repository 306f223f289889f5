"""Run one model file in ONNX Runtime, with clear errors."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

# ONNX Runtime sends telemetry unless this is set before its import; its function to disable it comes too late.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from har.errors import DeadlineError, ModelError, WindowError
from har.inference._deadline import Watchdog
from har.inference._exact import batch_unit
from har.inference._exact import batches as filled_batches
from har.inference._metadata import ModelMetadata

_EXTERNAL = b"\x0a\x08location"
"""How ONNX writes the key of a tensor's external path; ten bytes that weights do not hold by chance."""


_OUTPUTS = ("probabilities", "features")
DISTANCE = "distance"
"""The graph's output that says how unlike the training data a window is; files of older releases lack it."""


class Prediction(NamedTuple):
    """Probabilities float32 (N, K) and features float32 (N, F), as the graph computes them.

    `distance` is float32 (N,), how far each window lies from the training data; None from files of older releases.
    """

    probabilities: NDArray[np.float32]
    features: NDArray[np.float32]
    distance: NDArray[np.float32] | None = None


class Classifier:
    """Predicts with a model file; safe to share between threads.

    Args:
        path: `model.onnx`.
        threads: of ONNX Runtime within a call; None: one per available core.
        arena: keep memory between calls: slightly faster, but the memory of the largest batch is never released.

    Raises:
        ModelError: the file does not exist, is no ONNX file, refers to other files for its weights, or was not exported
            by this project.
    """

    def __init__(self, path: Path | str, *, threads: int | None = None, arena: bool = False) -> None:
        self.path = Path(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = granted_cores() if threads is None else threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = arena
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            content = self.path.read_bytes()
            _require_self_contained(content, where=str(path))
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except ModelError:
            raise
        except FileNotFoundError as error:
            raise ModelError(
                where=str(path), expected="a model file", got="none", remedy="Train one: har train."
            ) from error
        except Exception as error:
            raise ModelError(
                where=str(path),
                expected="an ONNX file",
                got=str(error).splitlines()[0],
                remedy="Fetch the file again from the registry.",
            ) from error
        self.metadata = ModelMetadata.from_properties(
            self._session.get_modelmeta().custom_metadata_map, where=str(path)
        )
        self.has_distance = DISTANCE in {output.name for output in self._session.get_outputs()}
        self._names = (*_OUTPUTS, DISTANCE) if self.has_distance else _OUTPUTS
        self._unit: int | None = None

    def predict(self, window: NDArray[np.float32], *, deadline_s: float | None = None) -> Prediction:
        """Classify windows.

        Args:
            window: float32 (N, T, C), m/s² and rad/s, channels in `metadata.channels` order.
            deadline_s: abort the call after this time; None: no limit.

        Raises:
            WindowError: the shape or type is wrong, or a value is not finite.
            DeadlineError: the deadline passed.
            ModelError: ONNX Runtime failed.
        """
        self._check(window)
        if not len(window):
            return self._none(len(self.metadata.feature_names))
        if deadline_s is None:
            return self._run(window, None)
        options = onnxruntime.RunOptions()
        began = time.monotonic()
        watchdog = Watchdog.shared()
        watchdog.guard(options, began + deadline_s)
        try:
            prediction = self._run(window, options)
        except ModelError as error:
            if options.terminate:
                raise self._late(deadline_s, "none; the call was aborted") from error
            raise
        finally:
            watchdog.release(options)
        # A call that could not be aborted in time is late, too.
        took = time.monotonic() - began
        if took > deadline_s:
            raise self._late(deadline_s, f"{1000 * took:.0f} ms")
        return prediction

    def predict_exactly(self, window: NDArray[np.float32]) -> Prediction:
        """Classify windows such that the bits of an answer depend on its own window alone, not on the others.

        The first call measures, in some tens of milliseconds, whether this model's answers depend on size and place in
        batches (see `har.inference._exact`); the windows of a model that do are answered one by one, which takes up to
        eight times as long. Promised for `threads=1` on one machine: several threads share a batch out at other places.

        Args:
            window: as for `predict`.

        Raises:
            WindowError, ModelError: see `predict`.
        """
        self._check(window)
        if not len(window):
            return self._none(len(self.metadata.feature_names))
        if self._unit is None:
            shape = (self.metadata.length, len(self.metadata.channels))
            self._unit = batch_unit(lambda trial: tuple(v for v in self._run(trial, None) if v is not None), *shape)
        parts = [_first(self._run(batch, None), wanted) for batch, wanted in filled_batches(window, self._unit)]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def predict_each(
        self, batches: Iterable[NDArray[np.float32]], *, features: NDArray[np.intp] | None = None
    ) -> Prediction:
        """Classify windows batch by batch, by `predict_exactly`, and return all answers as one prediction.

        Args:
            batches: float32 (B, T, C) each, such as `WindowSet.batches` gives.
            features: the columns of the features to keep; None: all.

        Raises:
            WindowError, ModelError: see `predict`.
        """
        columns: Any = slice(None) if features is None else features
        kept = len(self.metadata.feature_names) if features is None else len(features)
        parts = [self._none(kept)]
        for batch in batches:
            answer = self.predict_exactly(batch)
            parts.append(answer._replace(features=answer.features[:, columns]))
        return _joined(parts)

    def _none(self, features: int) -> Prediction:
        """The prediction of no window."""
        return Prediction(
            np.empty((0, len(self.metadata.activities)), np.float32),
            np.empty((0, features), np.float32),
            np.empty(0, np.float32) if self.has_distance else None,
        )

    def _run(self, window: NDArray[np.float32], options: onnxruntime.RunOptions | None) -> Prediction:
        try:
            values = self._session.run(self._names, {"window": window}, options)
        except Exception as error:
            raise ModelError(
                where=str(self.path),
                expected="an answer",
                got=str(error).splitlines()[0],
                remedy="Roll back: har rollback --reason …",
            ) from error
        return Prediction(values[0], values[1], values[2].reshape(-1) if self.has_distance else None)

    def _late(self, deadline_s: float, got: str) -> DeadlineError:
        return DeadlineError(
            where=str(self.path),
            expected=f"an answer within {1000 * deadline_s:g} ms",
            got=got,
            remedy="Send fewer windows at once, or raise serving.deadline_ms.",
        )

    def _check(self, window: NDArray[np.float32]) -> None:
        expected = (self.metadata.length, len(self.metadata.channels))
        if not isinstance(window, np.ndarray) or window.dtype != np.float32:
            raise WindowError(
                where="window",
                expected="a float32 array",
                got=f"{getattr(window, 'dtype', type(window).__name__)}",
                remedy="Convert it: np.asarray(window, np.float32).",
            )
        if window.ndim != 3 or window.shape[1:] != expected:
            raise WindowError(
                where="window",
                expected=f"shape (N, {expected[0]}, {expected[1]}): {expected[0]} samples at "
                f"{self.metadata.rate_hz:g} Hz of {', '.join(self.metadata.channels)}",
                got=f"shape {window.shape}",
                remedy="Cut windows with this model's length and channel order.",
            )
        # A sum of squares is finite only if every value is, and takes a tenth of the time of np.isfinite.
        flat = window.reshape(-1)
        if np.isfinite(np.dot(flat, flat)):
            return
        finite = np.isfinite(window)
        if not finite.all():
            row, sample, channel = (int(i) for i in np.argwhere(~finite)[0])
            raise WindowError(
                where=f"window {row}, sample {sample}, channel {self.metadata.channels[channel]}",
                expected="finite values",
                got=str(window[row, sample, channel]),
                remedy="Drop or repair the sample before cutting windows.",
            )


def _require_self_contained(content: bytes, *, where: str) -> None:
    """Refuse a model whose weights are in other files: a path in it could name any file, and no hash would cover it."""
    if _EXTERNAL in content:
        raise ModelError(
            where=where,
            expected="a model file with its weights inside",
            got="one that refers to another file for them (ONNX external data)",
            remedy="Save it in one file: onnx.save(model, path, save_as_external_data=False).",
        )


def _first(part: Prediction, count: int) -> Prediction:
    distance = None if part.distance is None else part.distance[:count]
    return Prediction(part.probabilities[:count], part.features[:count], distance)


def _joined(parts: list[Prediction]) -> Prediction:
    distances = [part.distance for part in parts if part.distance is not None]
    return Prediction(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate(distances) if distances else None,
    )


def granted_cores() -> int:
    """Number of cores that this process may use, by its CPU affinity and its cgroup's quota; at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))
