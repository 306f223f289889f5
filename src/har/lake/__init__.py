"""Delta tables of samples, recordings, predictions and scores: every rewrite is atomic, every read has a version."""

from har.lake._lake import Lake, Partition
from har.lake._table import Table

__all__ = ["Lake", "Partition", "Table"]
