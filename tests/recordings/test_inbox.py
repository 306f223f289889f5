from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import pytest

from har.errors import FileNameError, NotARecordingError
from har.recordings import inbox_files


def _put(inbox: Path, *names: str) -> None:
    for name in names:
        path = inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_names_are_parsed_and_sorted(tmp_path: Path) -> None:
    _put(
        tmp_path,
        "2024-01-02/s01_left.csv",
        "2024-01-01/s02_morning_walk-2.parquet",
        "2024-01-01/p.7-b_1.CSV",
    )
    files, strays = inbox_files(tmp_path)
    assert strays == []
    assert [(file.date.isoformat(), file.subject, file.session) for file in files] == [
        ("2024-01-01", "p.7-b", "1"),
        ("2024-01-01", "s02", "morning_walk-2"),
        ("2024-01-02", "s01", "left"),
    ]
    assert files[2].where == "2024-01-02/s01_left.csv"
    assert files[2].sha256 == hashlib.sha256(b"2024-01-02/s01_left.csv").hexdigest()


def test_one_date_only(tmp_path: Path) -> None:
    _put(tmp_path, "2024-01-01/s01_a.csv", "2024-01-02/s01_a.csv", "lost.csv")
    files, strays = inbox_files(tmp_path, dt.date(2024, 1, 2))
    assert [file.date.day for file in files] == [2]
    assert strays == []
    assert inbox_files(tmp_path, dt.date(2024, 1, 3)) == ([], [])


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("2024-1-1/s01_a.csv", "2024-1-1"),
        ("2024-02-30/s01_a.csv", "2024-02-30"),
        ("today/s01_a.csv", "today"),
        ("s01_a.csv", "folder"),
        ("2024-01-01/deeper/s01_a.csv", "deeper"),
        ("2024-01-01/s01.csv", "underscore"),
        ("2024-01-01/s01_a.xlsx", ".xlsx"),
        ("2024-01-01/s01_a", "extension"),
        ("2024-01-01/s 1_a.csv", "letters"),
        ("2024-01-01/s01_a=b.csv", "letters"),
        ("2024-01-01/_a.csv", "letters"),
        ("2024-01-01/s01_.csv", "letters"),
        (f"2024-01-01/{'s' * 65}_a.csv", "at most 64"),
    ],
)
def test_a_misnamed_file_is_reported_with_its_path(tmp_path: Path, name: str, word: str) -> None:
    _put(tmp_path, name)
    files, strays = inbox_files(tmp_path)
    assert files == []
    assert [stray.path for stray in strays] == [tmp_path / name]
    assert isinstance(strays[0].error, FileNameError)
    assert strays[0].error.where == name
    assert word in str(strays[0].error)
    assert strays[0].error.remedy.startswith(
        "Export" if strays[0].error.expected.startswith("the extension") else "Rename"
    )


def test_apple_double_files_are_strays(tmp_path: Path) -> None:
    _put(tmp_path, "2024-01-01/._s01_a.csv")
    (stray,) = inbox_files(tmp_path).strays
    assert isinstance(stray.error, NotARecordingError)


def test_hidden_files_and_unfinished_uploads_are_skipped(tmp_path: Path) -> None:
    _put(
        tmp_path,
        ".gitkeep",
        ".DS_Store",
        "2024-01-01/.DS_Store",
        "2024-01-01/s01_a.csv.part",
        "2024-01-01/s01_b.tmp",
        ".cache/2024-01-01/s01_a.csv",
    )
    assert inbox_files(tmp_path) == ([], [])
    assert inbox_files(tmp_path / "absent") == ([], [])
