"""The lake's tables; `har.schema` describes their columns."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from har.errors import NotEnoughDataError
from har.lake._table import SMALL_FILES, Table
from har.schema import (
    BASELINES,
    DECISIONS,
    DRIFT,
    LABEL_REQUESTS,
    LABELS,
    OWN_HISTORY,
    PREDICTIONS,
    PROFILES,
    RECORDINGS,
    REQUESTS,
    SCORES,
    WEAR,
    Partition,
    canonical_schema,
)
from har.storage import Location

__all__ = ["Lake", "Partition"]

_NEW_IN_RECORDINGS = [*("interpolated", "stamps_spread", "notes", "placement", "device", "overlapping"), *WEAR]
_NEW_IN_LABELS = ("claimed_start", "claimed_end", "source", "batch", "review", "reviewed_by")


class Lake:
    """The tables under one folder, or one prefix of object storage.

    Attributes:
        location: where they are.
        samples: canonical samples, see `har.recordings`.
        recordings: one row per ingested file and date.
        predictions: one row per scored window, by the nightly job or online.
        scores: one row per scored partition.
        requests: one row per window that the online service answered.
        labels: one row per label that is not in a recording's file.
        profiles: distributions of the model's features per day, subject, placement and device.
        own_history: each subject's first quiet days, with which later ones are compared.
        drift: one report per monitored day.
        decisions: the decisions of the monitoring policy, and their outcome.
        label_requests: windows to be labelled.
        baselines: features of each subject's last days.
    """

    def __init__(self, place: Path | Location, channels: tuple[str, ...], *, small_files: int = SMALL_FILES) -> None:
        self.location = folder = Location.at(place)
        self.channels = channels
        self.samples = Table(folder / "samples", canonical_schema(channels), rebuild="har ingest")
        self.recordings = Table(
            folder / "recordings",
            RECORDINGS,
            added=_NEW_IN_RECORDINGS,
            rebuild="har ingest",
            extract=["session", "file", "sha256", "samples", "placement", "overlapping"],
        )
        added = ["request_id", "smoothed", "unknown"]
        self.predictions = Table(folder / "predictions", PREDICTIONS, added=added, rebuild="har score")
        self.scores = Table(
            folder / "scores",
            SCORES,
            rebuild="har score",
            extract=["model_version", "content", "samples_version", "windows", "scored_at"],
        )
        self.requests = Table(
            folder / "requests", REQUESTS, measured=True, extract=["model_version", "fallback"], counted=True
        )
        self.labels = Table(folder / "labels", LABELS, added=_NEW_IN_LABELS)
        self.profiles = Table(
            folder / "profiles",
            PROFILES,
            added=["by_activity"],
            retired=["days", "month_days"],
            measured=True,
            rebuild="har score",
            extract=["online", "windows", "model_version", "made_at"],
        )
        self.own_history = Table(folder / "own_history", OWN_HISTORY, measured=True, rebuild="har monitor")
        self.drift = Table(folder / "drift", DRIFT, added=["judged"])
        self.decisions = Table(folder / "decisions", DECISIONS)
        self.label_requests = Table(folder / "label_requests", LABEL_REQUESTS)
        self.baselines = Table(folder / "baselines", BASELINES, rebuild="har baselines", extract=["predictions_at"])
        for table in self.tables:
            table.small_files = small_files

    @property
    def folder(self) -> Path:
        """Their folder.

        Raises:
            StorageError: they are on object storage.
        """
        return self.location.local

    def require_samples(self) -> None:
        """Do nothing if the lake has samples; reads the log only.

        Raises:
            NotEnoughDataError: it has none.
        """
        if not self.samples.count():
            raise NotEnoughDataError.no_samples(self.samples.where)

    @property
    def tables(self) -> tuple[Table, ...]:
        """All of them."""
        return tuple(table for table in vars(self).values() if isinstance(table, Table))

    def contents(self) -> dict[Partition, str]:
        """A hash of each partition's source files, over their hashes in the order of sessions."""
        files = self.recordings.extract().select("date", "subject", "session", "sha256").sort("session")
        grouped = files.group_by("date", "subject", maintain_order=True).agg(pl.col("sha256").str.join(""))
        # SHA-256 instead of Polars' hash, which changes between releases.
        return {(date, subject): _short(hashes) for date, subject, hashes in grouped.iter_rows()}


def _short(hashes: str) -> str:
    return hashlib.sha256(hashes.encode()).hexdigest()[:16]
