"""A circuit breaker: after some failures in a row it permits no call for a while, then one that tries again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CLOSED, HALF_OPEN, OPEN = "closed", "half-open", "open"


class Breaker:
    """Counts the outcomes of calls that its user makes; it holds no lock during a call.

    Args:
        failures: failed calls in a row that open it.
        pause_s: until an open breaker permits one call, whose outcome closes it or opens it again.
        on_change: called with every new state.
    """

    def __init__(self, *, failures: int, pause_s: float, on_change: Callable[[str], None]) -> None:
        self._limit, self._pause_s, self._on_change = failures, pause_s, on_change
        self._lock = threading.Lock()
        self._state, self._failures, self._opened = CLOSED, 0, 0.0

    @property
    def is_sound(self) -> bool:
        """Whether it is closed and the last call did not fail."""
        return self._state == CLOSED and self._failures == 0

    def permits(self) -> bool:
        """Whether a call may be made; its caller must report the outcome."""
        if self._state == CLOSED:
            return True
        with self._lock:
            if self._state == OPEN and time.monotonic() - self._opened >= self._pause_s:
                self._change(HALF_OPEN)
                return True
            return self._state == CLOSED

    def succeeded(self) -> None:
        """Report a successful call."""
        if self._failures == 0:
            return
        with self._lock:
            # A call that began before the breaker opened, and succeeds now, does not close it.
            if self._state != OPEN:
                self._failures = 0
                self._change(CLOSED)

    def failed(self) -> None:
        """Report a failed call."""
        with self._lock:
            self._failures += 1
            if self._state == HALF_OPEN or (self._state == CLOSED and self._failures >= self._limit):
                self._opened = time.monotonic()
                self._change(OPEN)

    def _change(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._on_change(state)
