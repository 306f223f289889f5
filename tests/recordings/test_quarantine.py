"""A bad file lies whole in the inbox or in quarantine, at every step and whatever fails."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
from pathlib import Path

import pytest

from har.errors import LakeError, MalformedRowError
from har.recordings import quarantine

CONTENT = b"time,accel_x\n1,fast\n"


@pytest.fixture
def bad() -> MalformedRowError:
    return MalformedRowError(
        where="2024-01-01/s01_a.csv, line 2", expected="a number", got="'fast'", remedy="Mend the value.", line=2
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


def test_the_file_and_its_reason_lie_side_by_side(inbox: Path, folder: Path, bad: MalformedRowError) -> None:
    path = put(inbox)
    target = quarantine(path, bad, folder, inbox=inbox)
    assert target == folder / "2024-01-01" / "s01_a.csv"
    assert not path.exists()
    assert target.read_bytes() == CONTENT
    told = note(target)
    assert told["file"] == "2024-01-01/s01_a.csv"
    assert told["line"] == 2
    assert told["error"] == "MalformedRowError"
    assert told["remedy"] == "Mend the value."
    assert told["reason"] == str(bad)
    assert told["original_path"] == str(path)
    assert len(str(told["sha256"])) == 64
    assert dt.datetime.fromisoformat(str(told["quarantined_at"])).tzinfo is not None
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


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs in the library but clean-up that a kill would skip."""


@pytest.mark.parametrize("crossing", [False, True])
def test_killed_at_any_step_the_file_is_whole_somewhere(
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


def test_a_disk_that_refuses_leaves_the_file_where_it_was(inbox: Path, folder: Path, bad: MalformedRowError) -> None:
    path = put(inbox)
    folder.write_text("a file stands where the folder should be")
    with pytest.raises(LakeError, match="nothing was lost") as caught:
        quarantine(path, bad, folder, inbox=inbox)
    assert str(folder) in str(caught.value)
    assert path.read_bytes() == CONTENT


def test_a_full_disk_leaves_the_file_where_it_was(
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


def test_a_file_that_another_run_moved_is_told_in_words(inbox: Path, folder: Path, bad: MalformedRowError) -> None:
    with pytest.raises(LakeError, match="run it again"):
        quarantine(inbox / "2024-01-01" / "s01_a.csv", bad, folder, inbox=inbox)
