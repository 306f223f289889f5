"""Abort calls of ONNX Runtime that take too long.

A run can only be stopped from another thread. One thread checks all runs ten times per second, so that a run in time
costs two dictionary writes; starting a timer for each would cost more than the inference.
"""

from __future__ import annotations

import functools
import threading
import time

import onnxruntime

_TICK_S = 0.1


class Watchdog:
    """Sets `terminate` in the options of runs after their deadline; ONNX Runtime then stops at the next node."""

    def __init__(self) -> None:
        self._guarded: dict[int, tuple[float, onnxruntime.RunOptions]] = {}
        threading.Thread(target=self._watch, name="onnx-deadlines", daemon=True).start()

    @classmethod
    def shared(cls) -> Watchdog:
        """The watchdog of this process."""
        return _shared()

    def guard(self, options: onnxruntime.RunOptions, due: float) -> None:
        """Watch a run until `release`; `due` is its deadline by `time.monotonic`."""
        self._guarded[id(options)] = (due, options)

    def release(self, options: onnxruntime.RunOptions) -> None:
        """Stop watching a run that has ended."""
        del self._guarded[id(options)]

    def _watch(self) -> None:
        while True:
            time.sleep(_TICK_S)
            now = time.monotonic()
            for due, options in tuple(self._guarded.values()):
                if now > due:
                    options.terminate = True


@functools.cache
def _shared() -> Watchdog:
    return Watchdog()
