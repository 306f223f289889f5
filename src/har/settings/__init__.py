"""The project's settings: one typed, frozen `Settings`, read from `har.toml` and the `HAR_…` environment variables.

Commands and services call `load_settings` once and pass values on.
"""

from har.settings._loading import FILE_NAME, load_settings, read_toml
from har.settings._networks import check_network, network_file, network_names, project_root
from har.settings._sections import (
    MAX_CLOCK_OFFSET_S,
    STANDARD_GRAVITY,
    TICKS_PER_SECOND,
    Accelerometer,
    Drift,
    Monitoring,
    Retraining,
    Sensor,
    Sensors,
)
from har.settings._settings import Settings
from har.settings._stream import Kafka, Mqtt
from har.settings._tuning import Bounds, Tuning
from har.settings._values import Value

__all__ = [
    "FILE_NAME",
    "MAX_CLOCK_OFFSET_S",
    "STANDARD_GRAVITY",
    "TICKS_PER_SECOND",
    "Accelerometer",
    "Bounds",
    "Drift",
    "Kafka",
    "Monitoring",
    "Mqtt",
    "Retraining",
    "Sensor",
    "Sensors",
    "Settings",
    "Tuning",
    "Value",
    "check_network",
    "load_settings",
    "network_file",
    "network_names",
    "project_root",
    "read_toml",
]
