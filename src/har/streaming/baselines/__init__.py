"""Features of what is usual for a subject, computed by one function for the lake and for the hot store."""

from har.streaming.baselines._features import BASELINE_DAYS, Day, baseline
from har.streaming.baselines._table import BaselineReport, as_of, newest, update

__all__ = ["BASELINE_DAYS", "BaselineReport", "Day", "as_of", "baseline", "newest", "update"]
