"""What was done to a file's stamps, and what is odd about its values: said by ingest, and kept in the lake."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from har.jobs.ingest import ingest
from har.lake import Lake, Table
from har.project import open_project
from har.schema import RECORDINGS
from har.settings import Settings

WEAR = ["idle_s", "nonwear_s", "nonwear", "calibration_error_mg", "calibrated_error_mg"]
WEAR += ["calibration_gain", "calibration_offset_mg", "calibrated"]
NEW = ["interpolated", "stamps_spread", "notes", "overlapping", "placement", "device", *WEAR]


def in_packets(path: Path, size: int, dead: int | None = None) -> None:
    """Give each packet of `size` rows the stamp of its first; optionally hold one column at zero."""
    header, *rows = path.read_text().splitlines()
    written = [header]
    for number, row in enumerate(rows):
        fields = row.split(",")
        fields[0] = rows[number // size * size].split(",")[0]
        if dead is not None:
            fields[dead] = "0"
        written.append(",".join(fields))
    path.write_text("\n".join(written) + "\n")


def test_packets_and_a_dead_axis(put, project: Path, lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    in_packets(put("2024-01-01", "s01", "a", "PEN"), 25)
    in_packets(put("2024-01-01", "s02", "a", "PEN"), 1, dead=5)
    put("2024-01-01", "s03", "a", "PEN")
    report = ingest(open_project(project))
    assert report.quarantined == []
    assert (report.rows_read, report.rows_kept, report.interpolated) == (4500, 4500, 0)
    packets = "rows share their stamp with others (25 per stamp): they were spread over 50 Hz"
    dead = "gyro_y is 0 throughout while other axes move: dead, or the wrong column"
    assert report.notes == [f"2024-01-01/s01_a.csv: {packets}.", f"2024-01-01/s02_a.csv: {dead}."]
    printed = " ".join(capsys.readouterr().err.split())
    for note in report.notes:
        assert note in printed
    kept = lake.recordings.read().sort("subject")
    assert kept["notes"].to_list() == [[packets], [dead], []]
    assert kept["stamps_spread"].to_list() == [1500, 0, 0]
    assert kept["interpolated"].to_list() == [0, 0, 0]


def test_a_table_of_an_older_release_reads_the_new_counts_as_null(put, project: Path, settings: Settings) -> None:
    old = pl.Schema({name: dtype for name, dtype in RECORDINGS.items() if name not in NEW})
    row = dict.fromkeys(old) | {
        "date": dt.date(2023, 12, 31), "subject": "s09", "session": "a", "sha256": "0" * 64, "samples": 10,
        "samples_read": 10, "file": "2023-12-31/s09_a.csv",
    }  # fmt: skip
    table = Table(settings.path("lake") / "recordings", old)
    table.replace(pl.DataFrame([row], old), [(dt.date(2023, 12, 31), "s09")])
    put("2024-01-01", "s01", "a")
    ingest(open_project(project))
    kept = open_project(project).lake.recordings.read().sort("date")
    assert kept["subject"].to_list() == ["s09", "s01"]
    assert kept["interpolated"].to_list() == [None, 0]
    assert kept["notes"].to_list() == [None, []]
    assert kept["idle_s"].to_list() == [None, 0]
    assert kept["calibrated"].to_list() == [None, False]
    assert kept["nonwear"].to_list() == [None, None]  # a recording of half a minute does not tell
