"""The inbox's files as one call of `ingest_files` takes them."""

from __future__ import annotations

from har.jobs._lanes import chunks
from har.recordings import InboxFile, StrayFile, inbox_files
from har.settings import Settings


def inbox_chunks(settings: Settings) -> tuple[list[tuple[InboxFile, ...]], list[StrayFile]]:
    """The files in chunks, each of some subjects of one date, and the entries that are no recordings."""
    files, strays = inbox_files(settings.path("inbox"))
    return list(chunks(files, by_date=True)), strays
