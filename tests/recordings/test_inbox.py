from __future__ import annotations

import datetime as dt
import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from har.errors import FileNameError, LakeError, NotARecordingError, OddEntryError
from har.recordings import inbox_files


def _put(inbox: Path, *names: str) -> None:
    for name in names:
        path = inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))


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


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.symlink_to("/etc/passwd"), "a symbolic link"),
        (lambda path: path.symlink_to("/etc"), "a symbolic link"),
        (lambda path: path.symlink_to("/nowhere"), "a symbolic link"),
        (lambda path: path.symlink_to(path.name), "a symbolic link"),
        (os.mkfifo, "a named pipe"),
        (lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), "a socket"),
    ],
    ids=["file", "folder", "dangling", "loop", "pipe", "socket"],
)
@pytest.mark.parametrize("name", ["2024-01-01/s01_a.csv", "2024-01-01", "latest", "2024-01-01/a/b/c"])
def test_an_odd_entry_is_named_and_never_opened(
    tmp_path: Path, make: Callable[[Path], None], words: str, name: str
) -> None:
    _put(tmp_path, "2024-01-02/s01_a.csv")
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    before = path.lstat()
    files, strays = inbox_files(tmp_path)
    assert [file.where for file in files] == ["2024-01-02/s01_a.csv"]
    assert [stray.path for stray in strays] == [path]
    assert isinstance(strays[0].error, OddEntryError)
    assert strays[0].error.where == name
    assert f"got {words}" in str(strays[0].error)
    assert path.lstat() == before
    if name == "2024-01-01":
        assert [stray.path for stray in inbox_files(tmp_path, dt.date(2024, 1, 1)).strays] == [path]


def test_a_name_that_is_not_utf_8_is_shown_as_its_bytes(tmp_path: Path) -> None:
    _put(tmp_path, "2024-01-01/s01_\udcff.csv", "m\udce4rz/s01_a.csv", "2024-01-01/s01_a\n\x1b[31m\u202e.csv")
    files, strays = inbox_files(tmp_path)
    assert files == []
    assert {stray.error.where: type(stray.error) for stray in strays} == {
        "2024-01-01/s01_\\xff.csv": OddEntryError,
        "m\\xe4rz": OddEntryError,
        "2024-01-01/s01_a\\n\\x1b[31m\\u202e.csv": FileNameError,
    }
    assert all(str(stray.error).isprintable() for stray in strays)


def test_folders_nested_beyond_what_the_system_opens_are_named(tmp_path: Path) -> None:
    _put(tmp_path, "2024-01-01/s01_a.csv")
    deep = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=deep)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    files, strays = inbox_files(tmp_path)
    assert [file.where for file in files] == ["2024-01-01/s01_a.csv"]
    assert [type(stray.error) for stray in strays] == [OddEntryError]
    assert os.strerror(errno.ENAMETOOLONG) in str(strays[0].error)


def test_the_inbox_itself_may_be_a_link(tmp_path: Path) -> None:
    _put(tmp_path / "disk", "2024-01-01/s01_a.csv")
    (tmp_path / "inbox").symlink_to(tmp_path / "disk")
    assert [file.where for file in inbox_files(tmp_path / "inbox").files] == ["2024-01-01/s01_a.csv"]


def test_an_inbox_that_cannot_be_listed_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(LakeError, match="Permission denied"):
        inbox_files(tmp_path)


def test_what_is_hashed_is_what_is_read_even_if_the_file_changes_meanwhile(tmp_path: Path) -> None:
    _put(tmp_path, "2024-01-02/s01_left.csv")
    (file,) = inbox_files(tmp_path).files
    with file.held():
        assert file.sha256 == hashlib.sha256(b"2024-01-02/s01_left.csv").hexdigest()
        file.path.write_bytes(b"other")
        assert file.content() == b"2024-01-02/s01_left.csv"
    assert file.content() == b"other"
