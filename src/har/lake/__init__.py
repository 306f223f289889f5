"""Delta tables of samples, recordings, predictions, scores, requests and labels.

Every rewrite is atomic, every read has a version.
"""

from har.lake._lake import ONLINE_SESSION, PREDICTIONS, UNKNOWN_SUBJECT, Lake, Partition
from har.lake._table import Table

__all__ = ["ONLINE_SESSION", "PREDICTIONS", "UNKNOWN_SUBJECT", "Lake", "Partition", "Table"]
