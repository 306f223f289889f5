"""Breaking off a call of ONNX Runtime that takes too long.

A run can only be told to stop from another thread. One thread for all looks every few milliseconds; a call that is
in time costs two dictionary writes, where waking a thread for each would cost more than the inference.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Iterator

import onnxruntime

_TICK_S = 0.01


class Watchdog:
    """Sets `terminate` on the options of runs whose time is over; ONNX Runtime then stops at the next node."""

    def __init__(self) -> None:
        self._guarded: dict[int, tuple[float, onnxruntime.RunOptions]] = {}
        threading.Thread(target=self._watch, name="onnx-deadlines", daemon=True).start()

    @classmethod
    def shared(cls) -> Watchdog:
        """The one of this process."""
        return _shared()

    @contextlib.contextmanager
    def guard(self, options: onnxruntime.RunOptions, due: float) -> Iterator[None]:
        """Watch a run until the block ends; `due` is a time of `time.monotonic`."""
        key = id(options)
        self._guarded[key] = (due, options)
        try:
            yield
        finally:
            del self._guarded[key]

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
