"""The lake: which tables there are, and what their columns mean."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from har.lake._table import Partition, Table
from har.recordings import canonical_schema

__all__ = ["Lake", "Partition"]

_TIME = pl.Datetime("us", "UTC")

RECORDINGS = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "session": pl.String(),
        "file": pl.String(),
        "sha256": pl.String(),
        "ingested_at": _TIME,
        "samples": pl.Int64(),
        "samples_read": pl.Int64(),
        "duplicates": pl.Int64(),
        "duplicate_stamps": pl.Int64(),
        "reordered": pl.Int64(),
        "gaps": pl.Int64(),
        "longest_gap_s": pl.Float64(),
        "coverage": pl.Float64(),
        "measured_rate_hz": pl.Float64(),
        "resampled": pl.Boolean(),
        "saturated": pl.Int64(),
        "stuck": pl.Int64(),
        "unlabelled": pl.Int64(),
    }
)
"""One row per ingested file: where its samples came from, and their quality."""

PREDICTIONS = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "session": pl.String(),
        "start": _TIME,
        "end": _TIME,
        "activity": pl.String(),
        "confidence": pl.Float32(),
        "abstained": pl.Boolean(),
        "model_version": pl.Int32(),
    }
)
"""One row per window; `end` is the stamp of the first sample after it."""

SCORES = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "model_version": pl.Int32(),
        "content": pl.String(),
        "samples_version": pl.Int64(),
        "windows": pl.Int64(),
        "seconds": pl.Float64(),
        "scored_at": _TIME,
    }
)
"""One row per scored partition: by which model, and from which content; written after its predictions."""


class Lake:
    """The tables under one folder.

    Attributes:
        samples: canonical samples, see `har.recordings`.
        recordings: one row per ingested file.
        predictions: one row per scored window.
        scores: one row per scored partition.
    """

    def __init__(self, folder: Path, channels: tuple[str, ...]) -> None:
        self.folder = folder
        self.channels = channels
        self.samples = Table(folder / "samples", canonical_schema(channels))
        self.recordings = Table(folder / "recordings", RECORDINGS)
        self.predictions = Table(folder / "predictions", PREDICTIONS)
        self.scores = Table(folder / "scores", SCORES)

    def contents(self) -> dict[Partition, str]:
        """What each partition of samples was made from: one hash over the bytes of its files."""
        files = self.recordings.read(columns=["date", "subject", "session", "sha256"]).sort("session")
        grouped = files.group_by("date", "subject", maintain_order=True).agg(pl.col("sha256").str.join(""))
        # Polars' own hash changes between releases; the files' hashes themselves are the name.
        return {(date, subject): _short(hashes) for date, subject, hashes in grouped.iter_rows()}


def _short(hashes: str) -> str:

    return hashlib.sha256(hashes.encode()).hexdigest()[:16]
