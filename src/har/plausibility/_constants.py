"""The limits that ingestion, training and both services share."""

from __future__ import annotations

import math

GRAVITY = 9.80665
"""m/s² in one g (CGPM 1901)."""

RESTING = (0.7 * GRAVITY, 1.3 * GRAVITY)
"""m/s²; plausible |a| of a sensor at rest, allowing for poor calibration."""
MOVING = (GRAVITY / 3, GRAVITY * 5)
"""m/s²; plausible median |a| of a recording without rest (vigorous exercise reaches 2.5 g).

Confusing g and m/s² changes |a| by a factor of 9.8.
"""
QUIET_SPREAD = 0.03
"""A second is at rest if the standard deviation of |a| is below this share of its mean, which holds in any unit."""
QUIET_SECONDS = 3
"""Seconds at rest from which their |a| is judged as that of a sensor at rest."""

RANGE_SLACK = 1.1
"""Sensors overshoot their nominal full scale a little: a sample may reach this multiple of it."""

RATE_TOLERANCE = 0.02
"""Samples sent for scoring may be this share off the model's rate: clocks are inaccurate."""

TO_SI = {"g": GRAVITY, "mg": GRAVITY / 1000, "m/s^2": 1.0, "deg/s": math.pi / 180, "rad/s": 1.0}
"""Factor from a unit of acceleration or angular rate to the SI unit."""

STUCK_S = 1.0
"""A value that repeats for this long, and …"""
STUCK_SAMPLES = 5
"""… this many samples, is stuck: sample-and-hold of a slower sensor repeats for a fraction of that."""
REPEATS = {"m/s^2": 5e-5, "rad/s": 1e-5}
"""By SI unit: a sample repeats the one before if it differs by no more than this.

It is more than rounding by resampling and float32 can add to a constant. Noise is far above it: an accelerometer of
25 µg/√Hz, quieter than any in a wearable, differs by 1e-3 m/s² from sample to sample at 50 Hz.
"""
AT_FULL_SCALE = 1 - 1e-6
"""Rounding to float32 must not put a reading at full scale below the limit."""
