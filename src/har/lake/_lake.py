"""The lake: which tables there are, and what their columns mean."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from har.lake._table import Table
from har.lake._where import Partition
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
        "placement": pl.String(),
        "device": pl.String(),
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
        "request_id": pl.String(),
    }
)
"""One row per window; `end` is the stamp of the first sample after it.

`request_id` is null in the rows that the nightly job wrote, and names the request of those that the online service
answered. A subject's day can hold both.
"""

REQUESTS = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "request_id": pl.String(),
        "start": _TIME,
        "model_version": pl.Int32(),
        "fallback": pl.String(),
        "ms": pl.Float32(),
        "features": pl.List(pl.Float32()),
        "shadow_version": pl.Int32(),
        "shadow_activity": pl.String(),
        "shadow_confidence": pl.Float32(),
        "received_at": _TIME,
    }
)
"""One row per window that the online service answered: how, and what the model saw.

`fallback` is null, "previous" or "rule"; `features` is null where the rule answered; the shadow's columns are null
where no second model looked. `ms` is the whole request's.
"""

LABELS = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "start": _TIME,
        "end": _TIME,
        "activity": pl.String(),
        "request_id": pl.String(),
        "feedback_id": pl.String(),
        "received_at": _TIME,
    }
)
"""One row per feedback: the true activity of an interval; of rows about one interval the last received holds.

A row whose request is not in `requests` yet has no `start` and no `end`; its date is that of its receipt and its
subject `UNKNOWN_SUBJECT`. It gets its place when the request arrives.
"""

UNKNOWN_SUBJECT = "unknown"
"""The subject of requests that name none."""

ONLINE_SESSION = "online"
"""The session of requests that name none."""

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

PROFILES = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "placement": pl.String(),
        "device": pl.String(),
        "online": pl.Boolean(),
        "windows": pl.Int64(),
        "model_version": pl.Int32(),
        "profile": pl.Binary(),
        "made_at": _TIME,
    }
)
"""One row per date, subject, placement and device, and for online windows one more: what the model saw there.

`profile` is a `har.monitoring.profiles.Profile`; rows older than `monitoring.keep_days` are deleted. `placement` and
`device` are "" where the files name none.
"""

EVERYONE = "everyone"
"""The subject of rows that are about a whole day."""

DRIFT = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "model_version": pl.Int32(),
        "score": pl.Float64(),
        "alarmed": pl.Boolean(),
        "confirmed": pl.Boolean(),
        "since": pl.Date(),
        "report": pl.String(),
        "made_at": _TIME,
    }
)
"""One row per monitored day, subject `EVERYONE`: `report` is the whole `har.monitoring.drift.DayReport` as JSON."""

DECISIONS = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "decision_id": pl.String(),
        "action": pl.String(),
        "reasons": pl.List(pl.String()),
        "event": pl.String(),
        "payload": pl.String(),
        "model_version": pl.Int32(),
        "decided_at": _TIME,
        "emitted_at": _TIME,
        "handled_at": _TIME,
        "attempts": pl.Int32(),
        "outcome": pl.String(),
    }
)
"""The policy's log, one row per decision, subject `EVERYONE`; `date` is the day that was judged.

`payload` is JSON. A row with an `event` and no `handled_at` is not handled yet: the next run sends it again;
`attempts` counts the trainings that were begun for it.
"""

LABEL_REQUESTS = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "session": pl.String(),
        "start": _TIME,
        "end": _TIME,
        "request_id": pl.String(),
        "rank": pl.Int32(),
        "activity": pl.String(),
        "confidence": pl.Float32(),
        "reason": pl.String(),
        "decision_id": pl.String(),
        "asked_at": _TIME,
    }
)
"""Windows whose labels would help most, ranked from 1 within a decision; `activity` is what the model believes."""


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
        self.profiles = Table(folder / "profiles", PROFILES, retired=["days", "month_days"], measured=True)
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
