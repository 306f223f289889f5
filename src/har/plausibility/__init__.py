"""What a sensor can have measured: whether a window holds a signal, its values fit their unit, and it was worn.

The nightly job, the training and both services use the same functions, so that they agree on every window. Needs only
numpy.
"""

from har.plausibility._calibration import Calibration, calibration
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
from har.plausibility._epochs import EPOCH_US, Epochs
from har.plausibility._nonwear import nonwear
from har.plausibility._signal import NO_SIGNAL, SignalRule

__all__ = [
    "CODES",
    "EPOCH_US",
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
    "Calibration",
    "Doubt",
    "Doubts",
    "Epochs",
    "SignalRule",
    "calibration",
    "nonwear",
]
