"""Inbox to lake: nothing twice, nothing lost, and one bad file stops nobody."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from inbox_support import inbox_chunks
from tests_support import run_and_kill, run_until_commit

from har.errors import LakeError
from har.jobs.ingest import IngestReport, StrayPart, ingest_files, set_aside
from har.jobs.ingest import ingest as ingest_job
from har.lake import Lake
from har.project import Project
from har.recordings import InboxFile, Recording, read_recording
from har.settings import Settings


def ingest(lake: Lake, settings: Settings, *, replace: bool = False) -> IngestReport:
    report = IngestReport()
    chunks, strays = inbox_chunks(settings)
    report.add(set_aside(StrayPart(Project(settings), tuple(strays))))
    for chunk in chunks:
        report.add(ingest_files(lake, settings, chunk, replace=replace))
    return report


def export_again(path: Path) -> Path:
    """The second half of a file, under another name."""
    lines = path.read_text().splitlines(keepends=True)
    other = path.with_name(f"{path.stem}-again.csv")
    other.write_text("".join([lines[0], *lines[len(lines) // 2 :]]))
    return other


def content(lake: Lake) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What the tables hold, in an order of its own, without the clock."""
    samples = lake.samples.read().sort("date", "subject", "session", "time")
    return samples, lake.recordings.read().drop("ingested_at").sort("date", "subject", "session")


def test_a_day_lands(put, lake: Lake, settings: Settings) -> None:
    put("2024-01-01", "s01", "a", "PEN")
    put("2024-01-01", "s01", "b", "ABD")
    put("2024-01-01", "s02", "a")
    report = ingest(lake, settings)
    assert sorted(report.landed) == ["2024-01-01/s01_a.csv", "2024-01-01/s01_b.csv", "2024-01-01/s02_a.csv"]
    samples, recordings = content(lake)
    assert len(samples) == report.samples == 4500
    assert samples["accel_z"].mean() == pytest.approx(9.80665, rel=0.02)
    assert samples.filter(pl.col("subject") == "s02")["activity"].null_count() == 1500
    assert recordings["coverage"].to_list() == [1.0] * 3
    assert recordings["samples"].to_list() == [1500] * 3


def test_the_second_time_is_only_a_look(put, lake: Lake, settings: Settings) -> None:
    put("2024-01-01", "s01", "a", "PEN")
    ingest(lake, settings)
    version = lake.samples.version()
    report = ingest(lake, settings)
    assert (report.landed, report.known) == ([], ["2024-01-01/s01_a.csv"])
    assert lake.samples.version() == version


def test_a_late_session_joins_its_day(put, lake: Lake, settings: Settings) -> None:
    put("2024-01-01", "s01", "a", "PEN")
    ingest(lake, settings)
    put("2024-01-01", "s01", "b", "ABD", seed=1)
    before = lake.contents()
    ingest(lake, settings)
    samples, _ = content(lake)
    assert samples["session"].unique().sort().to_list() == ["a", "b"]
    assert lake.contents() != before


def test_a_bad_file_stops_nobody_and_is_not_lost(put, lake: Lake, settings: Settings) -> None:
    put("2024-01-01", "s01", "a", "PEN")
    bad = put("2024-01-01", "s02", "a", "PEN")
    lines = bad.read_text().splitlines()
    lines[6] = lines[6].replace(lines[6].split(",")[2], "much")
    bad.write_text("\n".join(lines) + "\n")
    original = bad.read_bytes()
    stray = bad.with_name("nosession.csv")
    stray.write_text("time\n")
    report = ingest(lake, settings)
    assert report.landed == ["2024-01-01/s01_a.csv"]
    assert {entry.now_at.name for entry in report.quarantined} == {"s02_a.csv", "nosession.csv"}
    assert not bad.exists()
    quarantined = next(entry.now_at for entry in report.quarantined if entry.now_at.name == "s02_a.csv")
    assert quarantined.read_bytes() == original
    reason = json.loads(quarantined.with_name("s02_a.csv.json").read_text())
    assert reason["line"] == 7
    assert "much" in json.dumps(reason)
    assert reason["remedy"]


def test_the_mended_file_lands(put, lake: Lake, settings: Settings) -> None:
    path = put("2024-01-01", "s01", "a", "PEN")
    good = path.read_bytes()
    path.write_bytes(good[:-30])
    assert len(ingest(lake, settings).quarantined) == 1
    path.write_bytes(good)
    assert ingest(lake, settings).landed == ["2024-01-01/s01_a.csv"]


def test_the_same_session_with_other_content_is_a_conflict(put, lake: Lake, settings: Settings) -> None:
    put("2024-01-01", "s01", "a", "PEN")
    ingest(lake, settings)
    before = content(lake)
    other = put("2024-01-01", "s01", "a", "PEN", seed=1)
    changed = other.read_bytes()
    report = ingest(lake, settings)
    [conflict] = report.quarantined
    assert type(conflict.error).__name__ == "ConflictingRecordingError"
    assert "har ingest --replace" in str(conflict.error)
    assert all(one.equals(two) for one, two in zip(before, content(lake), strict=True))
    other.write_bytes(changed)
    assert ingest(lake, settings, replace=True).landed == ["2024-01-01/s01_a.csv"]
    assert not before[0].equals(content(lake)[0])


def test_the_same_bytes_twice_are_a_duplicate(put, lake: Lake, settings: Settings) -> None:
    path = put("2024-01-01", "s01", "a", "PEN")
    path.with_name("s01_copy.csv").write_bytes(path.read_bytes())
    report = ingest(lake, settings)
    assert report.landed == ["2024-01-01/s01_a.csv"]
    [duplicate] = report.quarantined
    assert type(duplicate.error).__name__ == "DuplicateRecordingError"
    assert "session 'a' of subject 's01' on 2024-01-01" in str(duplicate.error)


def test_a_file_that_grows_while_it_is_read_waits(
    put, lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put("2024-01-01", "s01", "a", "PEN")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 - 7])

    def read_while_it_grows(file: InboxFile, settings: Settings) -> Recording:
        try:
            return read_recording(file, settings)
        finally:
            path.write_bytes(whole)

    with monkeypatch.context() as patch:
        patch.setattr("har.jobs.ingest.read_recording", read_while_it_grows)
        report = ingest(lake, settings)
    assert (report.landed, report.quarantined, report.unfinished) == ([], [], ["2024-01-01/s01_a.csv"])
    assert ingest(lake, settings).landed == ["2024-01-01/s01_a.csv"]


class PanicException(BaseException):
    """What a panic in Rust looks like in Python; the real class cannot be made here."""


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (PanicException("index out of bounds"), "PanicException: index out of bounds"),
        (KeyError("column"), "KeyError: 'column'"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (MemoryError(), "not enough memory"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_fault_of_the_program_is_that_of_one_file(
    put, lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, fault: BaseException, words: str
) -> None:
    put("2024-01-01", "s01", "a", "PEN")
    bad = put("2024-01-01", "s02", "a", "PEN")
    put("2024-01-01", "s03", "a", "PEN")

    def read(file: InboxFile, settings: Settings) -> Recording:
        if file.subject == "s02":
            raise fault
        return read_recording(file, settings)

    monkeypatch.setattr("har.jobs.ingest.read_recording", read)
    report = ingest(lake, settings)
    assert report.landed == ["2024-01-01/s01_a.csv", "2024-01-01/s03_a.csv"]
    [quarantined] = report.quarantined
    assert type(quarantined.error).__name__ == "UnexpectedError"
    assert words in str(quarantined.error)
    assert "test_ingest.py, line" in str(quarantined.error)
    note = json.loads(quarantined.now_at.with_name("s02_a.csv.json").read_text())
    assert any("in read" in line for line in note["traceback"])
    assert not bad.exists()


def test_an_interrupt_ends_the_run(put, lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put("2024-01-01", "s01", "a", "PEN")

    def interrupted(file: InboxFile, settings: Settings) -> Recording:
        raise KeyboardInterrupt

    monkeypatch.setattr("har.jobs.ingest.read_recording", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ingest(lake, settings)
    assert path.exists()


def refusing(code: int, when: Callable[[Path], bool], real: Callable[..., Any]) -> Callable[..., Any]:
    """`real`, but the system refuses some paths."""

    def call(path: Path, *rest: Any, **options: Any) -> Any:
        if when(path):
            raise OSError(code, os.strerror(code), str(path))
        return real(path, *rest, **options)

    return call


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_read_is_named_and_stays(
    put, lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    put("2024-01-01", "s01", "a", "PEN")
    unreadable = put("2024-01-01", "s02", "a", "PEN")
    refuses = refusing(code, lambda path: path == unreadable, Path.open)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuses)
        report = ingest(lake, settings)
    assert (report.landed, report.quarantined) == (["2024-01-01/s01_a.csv"], [])
    assert [one.file for one in report.skipped] == ["2024-01-01/s02_a.csv"]
    assert os.strerror(code) in str(report.skipped[0].error)
    assert ingest(lake, settings).landed == ["2024-01-01/s02_a.csv"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EROFS])
def test_a_bad_file_that_cannot_be_moved_is_named_and_stays(
    put, lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    put("2024-01-01", "s01", "a", "PEN")
    bad = put("2024-01-01", "s02", "a", "PEN")
    bad.write_text("time\n")
    monkeypatch.setattr(Path, "replace", refusing(code, lambda path: path == bad, Path.replace))
    report = ingest(lake, settings)
    assert (report.landed, report.quarantined) == (["2024-01-01/s01_a.csv"], [])
    [left] = report.skipped
    assert "a column" in str(left.error)
    assert os.strerror(code) in str(left.error)
    assert bad.read_text() == "time\n"


def test_a_quarantine_inside_of_the_inbox_is_left_alone(put, change) -> None:
    put("2024-01-01", "s01", "a", "PEN").with_name("nosession.csv").write_text("time\n")
    inside = change(paths={"quarantine": Path("data/inbox/quarantine")})
    assert len(ingest_job(Project(inside)).quarantined) == 1
    again = ingest_job(Project(inside))
    assert (again.known, again.quarantined, again.skipped) == (["2024-01-01/s01_a.csv"], [], [])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE])
def test_a_disk_that_fails_is_no_fault_of_a_file(
    put, lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = put("2024-01-01", "s01", "a", "PEN")
    monkeypatch.setattr(Path, "open", refusing(code, lambda one: one == path, Path.open))
    with pytest.raises(LakeError, match=os.strerror(code)):
        ingest(lake, settings)
    assert path.exists()


def test_an_entry_that_becomes_a_link_after_it_was_listed_is_not_followed(
    put, lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    path = put("2024-01-01", "s01", "a", "PEN")
    [chunk], _ = inbox_chunks(settings)
    path.rename(tmp_path / "elsewhere.csv")
    path.symlink_to(tmp_path / "elsewhere.csv")
    report = ingest_files(lake, settings, chunk)
    assert [one.file for one in report.skipped] == ["2024-01-01/s01_a.csv"]
    assert report.landed == []


def test_a_file_that_is_gone_since_it_was_listed_stops_nobody(put, lake: Lake, settings: Settings) -> None:
    put("2024-01-01", "s01", "a", "PEN")
    gone = put("2024-01-01", "s02", "a", "PEN")
    [chunk], _ = inbox_chunks(settings)
    gone.unlink()
    assert ingest_files(lake, settings, chunk).landed == ["2024-01-01/s01_a.csv"]


INGEST = """
from har.jobs._lanes import chunks
from har.jobs.ingest import ingest_files
from har.lake import Lake
from har.recordings import inbox_files
from har.settings import load_settings
settings = load_settings()
lake = Lake(settings.path("lake"), settings.sensors.channels)
for chunk in chunks(inbox_files(settings.path("inbox"))[0], by_date=True):
    print("chunk", flush=True)
    ingest_files(lake, settings, chunk)
"""


@pytest.mark.stack
@pytest.mark.parametrize(
    "end",
    [
        *(
            pytest.param(partial(run_and_kill, delay_s=delay_s), marks=pytest.mark.release)
            for delay_s in (0.0, 0.03, 0.1)
        ),
        *(partial(run_until_commit, commits=commits) for commits in (1, 2, 3)),
    ],
    ids=lambda end: "-".join(f"{name}{value}" for name, value in end.keywords.items()),
)
def test_killed_at_any_moment_and_run_again_gives_the_same_tables(
    put, project: Path, lake: Lake, settings: Settings, end: Callable[[str], None]
) -> None:
    for day in ("2024-01-01", "2024-01-02"):
        for subject in ("s01", "s02", "s03"):
            put(day, subject, "a", "PEN", seconds=60)
            put(day, subject, "b", "ABD", seconds=60)
            put(day, subject, "night", "ROW", seconds=60, at=dt.time(23, 59, 30))
        export_again(put(day, "s01", "c", "FEL", seconds=40))
    end(INGEST)
    ingest(lake, settings)
    clean = Lake(project / "clean", settings.sensors.channels)
    ingest(clean, settings)
    assert all(one.equals(two) for one, two in zip(content(lake), content(clean), strict=True))


@pytest.mark.stack
def test_two_runs_at_once_give_one_lake(put, project: Path, lake: Lake, settings: Settings) -> None:
    for subject in ("s01", "s02", "s03"):
        put("2024-01-01", subject, "a", "PEN")
    runs = [subprocess.Popen([sys.executable, "-c", INGEST], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [run.wait(60) for run in runs] == [0, 0]
    samples, recordings = content(lake)
    assert (len(samples), len(recordings)) == (4500, 3)
    assert not list((project / "data").glob("quarantine/**/*"))
