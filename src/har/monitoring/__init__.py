"""What the model sees in service, and what is done about it: profiles, drift reports and decisions.

`har.monitoring.profiles`, `.drift` and `.decisions` hold the rest.
"""

from har.monitoring._days import MonitoredDays
from har.monitoring.decisions import DecisionLog
from har.monitoring.drift import DriftReports
from har.monitoring.profiles import Profiler, Profiles

__all__ = ["DecisionLog", "DriftReports", "MonitoredDays", "Profiler", "Profiles"]
