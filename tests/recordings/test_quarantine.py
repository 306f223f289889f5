"""A bad file is complete in the inbox or in quarantine at every step, whatever fails."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
from pathlib import Path

import pytest

from har.errors import LakeError, MalformedRowError, OddEntryError
from har.recordings import quarantine

CONTENT = b"time,accel_x\n1,fast\n"


@pytest.fixture
def bad() -> MalformedRowError:
    return MalformedRowError(
        where="2024-01-01/s01_a.csv, line 2", expected="a number", got="'fast'", remedy="Fix the value.", line=2
    )


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "quarantine"


def put(inbox: Path, name: str = "2024-01-01/s01_a.csv", content: bytes = CONTENT) -> Path:
    path = inbox / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def note(target: Path) -> dict[str, object]:
    return json.loads(target.with_name(target.name + ".json").read_text())


def test_the_reason_is_beside_the_file(inbox: Path, folder: Path, bad: MalformedRowError) -> None:
    path = put(inbox)
    target = quarantine(path, bad, folder, inbox=inbox)
    assert target == folder / "2024-01-01" / "s01_a.csv"
    assert not path.exists()
    assert target.read_bytes() == CONTENT
    reason = note(target)
    assert reason["file"] == "2024-01-01/s01_a.csv"
    assert reason["line"] == 2
    assert reason["error"] == "MalformedRowError"
    assert reason["remedy"] == "Fix the value."
    assert reason["reason"] == str(bad)
    assert reason["original_path"] == str(path)
    assert len(str(reason["sha256"])) == 64
    assert dt.datetime.fromisoformat(str(reason["quarantined_at"])).tzinfo is not None
    assert sorted(entry.name for entry in target.parent.iterdir()) == ["s01_a.csv", "s01_a.csv.json"]


def test_the_same_content_again_is_one_file(inbox: Path, folder: Path, bad: MalformedRowError) -> None:
    first = quarantine(put(inbox), bad, folder, inbox=inbox)
    assert quarantine(put(inbox), bad, folder, inbox=inbox) == first
    assert len(list(first.parent.iterdir())) == 2


def test_other_content_gets_a_number_and_nothing_is_lost(inbox: Path, folder: Path, bad: MalformedRowError) -> None:
    targets = [
        quarantine(put(inbox, content=content), bad, folder, inbox=inbox) for content in (b"1", b"2", b"3", b"2")
    ]
    assert [target.name for target in targets] == ["s01_a.csv", "s01_a-2.csv", "s01_a-3.csv", "s01_a-2.csv"]
    assert [target.read_bytes() for target in targets[:3]] == [b"1", b"2", b"3"]
    assert len({note(target)["sha256"] for target in targets}) == 3


def test_a_bad_file_named_like_a_note_does_not_collide(inbox: Path, folder: Path, bad: MalformedRowError) -> None:
    stray = quarantine(put(inbox, "2024-01-01/s01_a.csv.json", b"{}"), bad, folder, inbox=inbox)
    target = quarantine(put(inbox), bad, folder, inbox=inbox)
    again = quarantine(put(inbox, "2024-01-01/s01_a-2.csv.json", b"[]"), bad, folder, inbox=inbox)
    assert stray.read_bytes() == b"{}"
    assert target.read_bytes() == CONTENT
    assert again.read_bytes() == b"[]"
    assert note(target)["error"] == "MalformedRowError"


def test_files_outside_date_folders_keep_their_place(inbox: Path, folder: Path, bad: MalformedRowError) -> None:
    assert quarantine(put(inbox, "x.csv"), bad, folder, inbox=inbox) == folder / "x.csv"
    assert quarantine(put(inbox, "a/b/x.csv"), bad, folder, inbox=inbox) == folder / "a" / "b" / "x.csv"


@pytest.mark.parametrize("name", [f"s01_{'a' * 247}.csv", "ß" * 127, f"s.{'b' * 250}", f"s01_{'a' * 226}.parquet"])
def test_a_name_that_leaves_no_room_is_shortened(inbox: Path, folder: Path, bad: MalformedRowError, name: str) -> None:
    targets = [
        quarantine(put(inbox, f"2024-01-01/{name}", content), bad, folder, inbox=inbox) for content in (b"1", b"2")
    ]
    assert [target.read_bytes() for target in targets] == [b"1", b"2"]
    assert [note(target)["file"] for target in targets] == [f"2024-01-01/{name}"] * 2
    other = quarantine(put(inbox, f"2024-01-01/{name[:-1]}", b"1"), bad, folder, inbox=inbox)
    assert other not in targets
    assert len(list(other.parent.iterdir())) == 6


def test_a_link_or_a_pipe_is_not_moved(inbox: Path, folder: Path, bad: MalformedRowError, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(CONTENT)
    link = inbox / "2024-01-01" / "link.csv"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "precious")
    os.mkfifo(inbox / "2024-01-01" / "pipe.csv")
    for name in ("link.csv", "pipe.csv"):
        with pytest.raises(OddEntryError, match=f"2024-01-01/{name}"):
            quarantine(link.with_name(name), bad, folder, inbox=inbox)
        assert os.path.lexists(link.with_name(name))
    assert (tmp_path / "precious").read_bytes() == CONTENT
    assert not folder.exists()


class Killed(BaseException):
    """Simulates SIGKILL: the library runs nothing after it except clean-up that a kill would skip."""


@pytest.mark.parametrize("crossing", [False, True])
def test_a_kill_at_any_step_leaves_the_file_complete(
    inbox: Path, folder: Path, bad: MalformedRowError, monkeypatch: pytest.MonkeyPatch, crossing: bool
) -> None:
    """Stop before each call that changes the disk, look, and run again to the end."""
    real = {name: getattr(Path, name) for name in ("mkdir", "replace", "unlink")}
    fsync = os.fsync
    remaining = [0]

    def step() -> None:
        remaining[0] -= 1
        if remaining[0] < 0:
            raise Killed

    def wrap(name: str):
        def call(self: Path, *args, **kwargs):
            step()
            if name == "replace" and crossing and self.parent.parent == inbox:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            return real[name](self, *args, **kwargs)

        return call

    def sync(descriptor: int) -> None:
        step()
        fsync(descriptor)

    for stop in range(40):
        path = put(inbox)
        with monkeypatch.context() as patch:
            remaining[0] = stop
            for name in real:
                patch.setattr(Path, name, wrap(name))
            patch.setattr(os, "fsync", sync)
            try:
                quarantine(path, bad, folder, inbox=inbox)
                finished = True
            except Killed:
                finished = False
        target = folder / "2024-01-01" / "s01_a.csv"
        held = [place for place in (path, target) if place.exists()]
        assert held
        assert all(place.read_bytes() == CONTENT for place in held)
        if target.exists():
            assert note(target)["line"] == 2
        if path.exists():
            quarantine(path, bad, folder, inbox=inbox)
        assert target.read_bytes() == CONTENT
        assert not path.exists()
        for entry in sorted(folder.rglob("*"), reverse=True):
            entry.rmdir() if entry.is_dir() else entry.unlink()
        folder.rmdir()
        if finished:
            assert stop > 4
            return
    raise AssertionError("never finished")


def test_a_disk_that_refuses_leaves_the_file_in_the_inbox(inbox: Path, folder: Path, bad: MalformedRowError) -> None:
    path = put(inbox)
    folder.write_text("a file stands where the folder should be")
    with pytest.raises(LakeError, match="the file was not changed") as caught:
        quarantine(path, bad, folder, inbox=inbox)
    assert str(folder) in str(caught.value)
    assert path.read_bytes() == CONTENT


def test_a_full_disk_leaves_the_file_in_the_inbox(
    inbox: Path, folder: Path, bad: MalformedRowError, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(inbox)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LakeError, match="No space left"):
        quarantine(path, bad, folder, inbox=inbox)
    assert path.read_bytes() == CONTENT
    assert not list((folder / "2024-01-01").iterdir())


def test_a_file_that_another_run_moved_is_reported(inbox: Path, folder: Path, bad: MalformedRowError) -> None:
    with pytest.raises(LakeError, match="run it again"):
        quarantine(inbox / "2024-01-01" / "s01_a.csv", bad, folder, inbox=inbox)
