"""What an ingestion did: files that landed, were known, or could not be used, and rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from har.errors import RecordingError
from har.jobs._seen import Stamp


@dataclass(frozen=True)
class Quarantined:
    """A file that could not be ingested: its new path and the reason."""

    file: str
    now_at: Path
    error: RecordingError


@dataclass(frozen=True)
class Skipped:
    """An entry of the inbox that was left where it is, and the reason."""

    file: str
    error: RecordingError


@dataclass
class IngestReport:
    """The result of ingesting files.

    Attributes:
        landed: files that were ingested.
        restored: those of them that had been ingested before, and of whose dates the lake has lost samples.
        unfinished: files that changed while they were read; they wait for the next run.
        known: files that were ingested before.
        quarantined: files that went to quarantine.
        skipped: entries that were left where they are: links, pipes, files that cannot be read, …
        samples: new rows of the sample table.
        rows_read: rows of the ingested files.
        rows_kept: those that were used.
        interpolated: new rows of the sample table without a measured sample nearby.
        overlapping: samples that were left out, because another session has them.
        notes: sentences about files that were cut, overlap another session, or are odd in another way.
        seen: files whose hash is that of the lake, each with its stamp and the hash, see `har.jobs._seen`.
    """

    landed: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    samples: int = 0
    rows_read: int = 0
    rows_kept: int = 0
    interpolated: int = 0
    overlapping: int = 0
    notes: list[str] = field(default_factory=list)
    seen: list[tuple[str, Stamp, str]] = field(default_factory=list)

    def add(self, other: IngestReport) -> None:
        """Add another report's counts."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def complete(self) -> bool:
        """Whether nothing was quarantined or skipped."""
        return not self.quarantined and not self.skipped

    @property
    def summary(self) -> str:
        """Files and rows in one line."""
        waiting = f", {len(self.unfinished)} still being uploaded" if self.unfinished else ""
        restored = f" ({len(self.restored)} of them again, as samples were missing)" if self.restored else ""
        once_only = f", {self.overlapping} in two sessions and counted once" if self.overlapping else ""
        return (
            f"{len(self.landed)} files ingested{restored}, {len(self.known)} known, "
            f"{len(self.quarantined)} quarantined, {len(self.skipped)} skipped{waiting}; "
            f"{self.rows_read} rows read, {self.rows_kept} kept, {self.rows_read - self.rows_kept} dropped, "
            f"{self.interpolated} interpolated{once_only}."
        )
