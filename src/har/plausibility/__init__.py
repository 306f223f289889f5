"""What a sensor can have measured: whether a window holds a signal, and whether its values fit their unit.

The nightly job, the training and both services use the same functions, so that they agree on every window. Needs only
numpy.
"""

from har.plausibility._constants import (
    GRAVITY,
    MOVING,
    QUIET_SECONDS,
    QUIET_SPREAD,
    RANGE_SLACK,
    RATE_TOLERANCE,
    REPEATS,
    RESTING,
    STUCK_S,
    STUCK_SAMPLES,
    TO_SI,
)
from har.plausibility._doubts import CODES, Doubt, Doubts
from har.plausibility._signal import NO_SIGNAL, SignalRule

__all__ = [
    "CODES",
    "GRAVITY",
    "MOVING",
    "NO_SIGNAL",
    "QUIET_SECONDS",
    "QUIET_SPREAD",
    "RANGE_SLACK",
    "RATE_TOLERANCE",
    "REPEATS",
    "RESTING",
    "STUCK_S",
    "STUCK_SAMPLES",
    "TO_SI",
    "Doubt",
    "Doubts",
    "SignalRule",
]
