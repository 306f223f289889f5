"""Delta tables of samples, recordings, predictions, scores, requests, labels, profiles and decisions.

Every rewrite is atomic, every read has a version.
"""

from har.lake._lake import Lake, Partition
from har.lake._table import Table
from har.lake._where import newest_day

__all__ = ["Lake", "Partition", "Table", "newest_day"]
