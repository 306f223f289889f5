"""The lake: which tables there are; `har.schema` says what their columns mean."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from har.lake._table import Table
from har.lake._where import Partition
from har.schema import (
    DECISIONS,
    DRIFT,
    LABEL_REQUESTS,
    LABELS,
    PREDICTIONS,
    PROFILES,
    RECORDINGS,
    REQUESTS,
    SCORES,
    canonical_schema,
)

__all__ = ["Lake", "Partition"]


class Lake:
    """The tables under one folder.

    Attributes:
        samples: canonical samples, see `har.recordings`.
        recordings: one row per ingested file.
        predictions: one row per scored window, by the nightly job or online.
        scores: one row per scored partition.
        requests: one row per window that was answered online.
        labels: one row per feedback.
        profiles: what the model saw, per day, subject, placement and device.
        drift: one report per monitored day.
        decisions: what the monitoring policy decided, and what came of it.
        label_requests: windows whose labels are asked for.
    """

    def __init__(self, folder: Path, channels: tuple[str, ...]) -> None:
        self.folder = folder
        self.channels = channels
        self.samples = Table(folder / "samples", canonical_schema(channels))
        self.recordings = Table(folder / "recordings", RECORDINGS, added=["placement", "device"])
        self.predictions = Table(folder / "predictions", PREDICTIONS, added=["request_id"])
        self.scores = Table(folder / "scores", SCORES)
        self.requests = Table(folder / "requests", REQUESTS, measured=True)
        self.labels = Table(folder / "labels", LABELS)
        self.profiles = Table(folder / "profiles", PROFILES, added=["month_days"], measured=True)
        self.drift = Table(folder / "drift", DRIFT)
        self.decisions = Table(folder / "decisions", DECISIONS)
        self.label_requests = Table(folder / "label_requests", LABEL_REQUESTS)

    def contents(self) -> dict[Partition, str]:
        """What each partition of samples was made from: one hash over the bytes of its files."""
        files = self.recordings.read(columns=["date", "subject", "session", "sha256"]).sort("session")
        grouped = files.group_by("date", "subject", maintain_order=True).agg(pl.col("sha256").str.join(""))
        # Polars' own hash changes between releases; the files' hashes themselves are the name.
        return {(date, subject): _short(hashes) for date, subject, hashes in grouped.iter_rows()}


def _short(hashes: str) -> str:
    return hashlib.sha256(hashes.encode()).hexdigest()[:16]
