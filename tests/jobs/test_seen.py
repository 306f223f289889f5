"""Files of the inbox that were ingested are not read again, unless something about them, or the lake, is other."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from har.errors import ConflictingRecordingError
from har.jobs.check import take_as_it_is
from har.jobs.ingest import ingest
from har.project import Project
from har.recordings import InboxFile
from har.settings import Settings

DAYS = ("2024-01-01", "2024-01-02")


@pytest.fixture
def full(put: Callable[..., Path], settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Two ingested days, looked at twice: a file must be older than a moment to be known by its stamp."""
    monkeypatch.setattr("har.jobs._seen._SETTLED_NS", 0)
    for seed, date in enumerate(DAYS):
        put(date, "s01", "a", "PEN", seconds=10, seed=seed)
    ingest(Project(settings))
    return Project(settings)


def test_a_file_that_is_as_it_was_is_not_read(full: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InboxFile, "sha256", property(lambda file: pytest.fail(f"{file.where} was read")))
    report = ingest(full)
    assert report.known == [f"{date}/s01_a.csv" for date in DAYS]
    assert not report.landed


def test_a_file_with_other_bytes_of_the_same_size_and_time_is_noticed(full: Project) -> None:
    path = full.settings.path("inbox") / DAYS[0] / "s01_a.csv"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-3] = ord("1") if content[-3] != ord("1") else ord("2")
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (bad,) = ingest(full).quarantined
    assert isinstance(bad.error, ConflictingRecordingError)


def test_what_the_lake_no_longer_counts_is_read_again(full: Project) -> None:
    newest = max((full.lake.samples.path / "_delta_log").glob("*.json"))
    newest.unlink()
    lost = take_as_it_is(Project(full.settings).lake)
    assert any("count as not ingested" in line for line in lost)
    report = ingest(Project(full.settings))
    assert report.landed == [f"{date}/s01_a.csv" for date in DAYS]


def test_a_new_file_in_a_known_folder_lands(full: Project, put: Callable[..., Path]) -> None:
    put(DAYS[1], "s02", "b", "ROW", seconds=10, seed=9)
    report = ingest(full)
    assert report.landed == [f"{DAYS[1]}/s02_b.csv"]
    assert report.known == [f"{DAYS[0]}/s01_a.csv", f"{DAYS[1]}/s01_a.csv"]


@pytest.mark.parametrize("content", [b"", b"no arrow file", bytes(5000)])
def test_a_damaged_note_costs_time_only(full: Project, content: bytes) -> None:
    note = full.settings.path("inbox").parent / ".inbox.seen"
    assert note.exists()
    note.write_bytes(content)
    report = ingest(full)
    assert len(report.known) == 2
    assert not report.landed
