"""The project's settings: `har.toml` and `HAR_…` variables in, one typed and frozen `Settings` out.

Read once at the edge (`load_settings`); functions further in take the values they need.
"""

from har.settings._loading import FILE_NAME, load_settings
from har.settings._networks import check_network, network_names
from har.settings._sections import STANDARD_GRAVITY, Accelerometer, Drift, Monitoring, Retraining, Sensor, Sensors
from har.settings._settings import Settings

__all__ = [
    "FILE_NAME",
    "STANDARD_GRAVITY",
    "Accelerometer",
    "Drift",
    "Monitoring",
    "Retraining",
    "Sensor",
    "Sensors",
    "Settings",
    "check_network",
    "load_settings",
    "network_names",
]
