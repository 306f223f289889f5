"""Delta tables of samples, recordings, predictions, scores, requests, labels, profiles and decisions.

Every write is one atomic commit; every table can be read at an earlier version.
"""

from har.lake._lake import Lake, Partition
from har.lake._table import Table
from har.lake._where import newest_day

__all__ = ["Lake", "Partition", "Table", "newest_day"]
