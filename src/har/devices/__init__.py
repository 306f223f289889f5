"""What a device writes beside what the champion was trained on: which setting is wrong, and what mends it.

`diagnose` takes a device's recordings and says what is off, by physics alone or beside a `DeviceReference`, which
`learn` makes at training. Needs only numpy.
"""

from har.devices._axes import axes_of
from har.devices._diagnosis import diagnose
from har.devices._finding import CAUSES, Diagnosis, Finding
from har.devices._recorded import Recorded, Timing, timing
from har.devices._reference import DEVICE_REFERENCE, LEAST_SUBJECTS, DeviceReference, Wearer, learn
from har.devices._signal import LEAST_S, Motion

__all__ = [
    "CAUSES",
    "DEVICE_REFERENCE",
    "LEAST_S",
    "LEAST_SUBJECTS",
    "DeviceReference",
    "Diagnosis",
    "Finding",
    "Motion",
    "Recorded",
    "Timing",
    "Wearer",
    "axes_of",
    "diagnose",
    "learn",
    "timing",
]
