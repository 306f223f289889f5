"""Snapshots of a folder that lives: taken, listed, restored; git and DVC see what they should, and nothing else."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from snapshot_support import WHO, contents, dvc, git, make_project, needs_dvc, put, take

from har.errors import SnapshotError
from har.project import Project
from har.snapshots import Snapshots, _dvc

pytestmark = [needs_dvc, pytest.mark.stack]


@pytest.fixture
def made(tmp_path: Path) -> Project:
    """A project with two files in its inbox."""
    project = make_project(tmp_path / "place" / "project")
    put(project, "2024-01-01/s01_a.csv", "one\n")
    put(project, "2024-01-01/s02_a.csv", b"\x00\xff two\r\n")
    return project


def test_a_life_of_an_inbox(made: Project) -> None:
    """Take, add a day, take again, list, go back, go forward; plain git and DVC agree at each step."""
    root, inbox = made.settings.root, made.settings.path("inbox")
    snapshots = Snapshots(made.settings)
    # The user is in the middle of something.
    (root / "staged.txt").write_text("staged")
    git(root, "add", "staged.txt")
    (root / "har.toml").write_text((root / "har.toml").read_text() + "\n# changed\n")
    (root / "new.txt").write_text("untracked")
    before = git(root, "status", "--porcelain")

    first = take(made, "the first\nday")
    assert (first.new, first.added, first.snapshot.files, first.left_out) == (True, 2, 2, {})
    assert git(root, "show", "--format=%s", "--name-only").splitlines() == [
        "Snapshot: the first day",
        "",
        ".dvc/.gitignore",
        ".dvc/config",
        ".dvcignore",
        "data/inbox.dvc",
    ]
    assert git(root, "status", "--porcelain") == before
    assert (root.parent / "project-dvc" / "files" / "md5").is_dir()
    # DVC's own view of the same files is the same list.
    assert "up to date" in dvc(root, "status").stdout
    assert "up to date" in dvc(root, "status", "--cloud").stdout or "in sync" in dvc(root, "status", "--cloud").stdout
    one = contents(inbox)

    put(made, "2024-01-02/s01_a.csv", "three\n")
    put(made, "2024-01-01/s01_a.csv", "one, corrected\n")
    (inbox / "2024-01-01/s02_a.csv").unlink()
    label = made.settings.path("labels") / "20240101T000000-abcd_diary.csv"
    label.parent.mkdir()
    label.write_text("a label")
    second = take(made, "the second")
    assert (second.new, second.added, second.removed, second.snapshot.files) == (True, 3, 1, 3)
    again = take(made, "nothing new")
    assert (again.new, again.snapshot) == (False, second.snapshot)
    two = contents(inbox)

    listed = snapshots.history()
    assert [(one.why, one.files) for one in listed] == [("the second", 3), ("the first day", 2)]
    assert listed[1].commit == first.snapshot.commit
    assert listed[1].size == sum(map(len, one.values()))

    done = snapshots.restore(first.snapshot.commit)
    assert (done.written, done.deleted, done.same) == (2, 1, 0)
    assert contents(inbox) == one
    assert not (inbox / "2024-01-02").exists()
    assert "up to date" in dvc(root, "status").stdout
    # The first snapshot knows no labels: they stay. The second one has them.
    assert label.read_text() == "a label"
    label.unlink()
    snapshots.restore("main")
    assert (contents(inbox), label.read_text()) == (two, "a label")
    assert git(root, "status", "--porcelain") == before


@pytest.mark.release
def test_a_clone_gets_the_bytes_by_git_and_dvc_alone(made: Project, tmp_path: Path) -> None:
    first = take(made, "one").snapshot.commit
    one = contents(made.settings.path("inbox"))
    put(made, "2024-01-02/s01_a.csv", "three\n")
    take(made, "two")
    clone = made.settings.root.parent / "clone"
    git(tmp_path, "clone", "-q", str(made.settings.root), str(clone))
    pulled = dvc(clone, "pull")
    assert pulled.returncode == 0, pulled.stderr
    assert contents(clone / "data" / "inbox") == contents(made.settings.path("inbox"))
    git(clone, "checkout", "-q", first)
    assert dvc(clone, "pull").returncode == 0
    assert contents(clone / "data" / "inbox") == one
    # Nothing has changed, as in CI. A commit on no branch would be lost with the next checkout.
    there = Project(made.settings.model_copy(update={"root": clone}))
    assert not take(there).new
    put(there, "2024-01-09/s01_a.csv", "more\n")
    with pytest.raises(SnapshotError, match=r"detached HEAD\. .*git switch"):
        take(there)


def test_odd_entries_are_named_and_never_followed(made: Project, tmp_path: Path) -> None:
    inbox = made.settings.path("inbox")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("secret")
    (inbox / "2024-01-01" / "s03_link.csv").symlink_to(outside / "secret.csv")
    (inbox / "2024-01-03").symlink_to(outside)
    os.mkfifo(inbox / "2024-01-01" / "s04_pipe.csv")
    put(made, "2024-01-01/s05_a.csv.part", "half")
    put(made, "2024-01-01/.hidden", "hidden")
    put(made, "2024-01-01/not a recording.txt", "kept all the same")
    with open(os.fsencode(inbox / "2024-01-01") + b"/s\xff_a.csv", "wb") as stream:  # noqa: PTH123  no text
        stream.write(b"x")
    taken = take(made)
    assert taken.snapshot.files == 3
    assert sorted(taken.left_out) == [
        "data/inbox/2024-01-01/s03_link.csv",
        "data/inbox/2024-01-01/s04_pipe.csv",
        "data/inbox/2024-01-01/s\\xff_a.csv",
        "data/inbox/2024-01-03",
    ]
    assert "link" in taken.left_out["data/inbox/2024-01-03"]
    held = b"".join(contents(made.settings.root / ".dvc" / "cache").values())
    assert b"secret" not in held
    assert b"half" not in held
    # Nothing of this is touched by a restore, either.
    Snapshots(made.settings).restore("HEAD")
    assert (inbox / "2024-01-03").is_symlink()
    assert (inbox / "2024-01-01" / ".hidden").read_text() == "hidden"


def test_restoring_never_costs_a_file_that_is_in_no_snapshot(made: Project, tmp_path: Path) -> None:
    inbox = made.settings.path("inbox")
    take(made, "one")
    put(made, "2024-01-02/s01_new.csv", "new\n")
    put(made, "2024-01-01/s01_a.csv", "changed\n")
    before = contents(inbox)
    snapshots = Snapshots(made.settings)
    with pytest.raises(SnapshotError, match=r"2 that are in none: .*s01_a\.csv.*har data snapshot"):
        snapshots.restore("HEAD")
    assert contents(inbox) == before
    # The name counts, too: the same bytes elsewhere are another recording.
    (inbox / "2024-01-02/s01_new.csv").unlink()
    put(made, "2024-01-01/s01_a.csv", "one\n")
    put(made, "2024-01-05/s09_a.csv", "one\n")
    with pytest.raises(SnapshotError, match=r"1 that are in none: .*2024-01-05/s09_a\.csv"):
        snapshots.restore("HEAD")
    (inbox / "2024-01-05/s09_a.csv").unlink()
    # What is in the way is not overwritten, whatever it is.
    (inbox / "2024-01-01/s01_a.csv").unlink()
    (inbox / "2024-01-01/s01_a.csv").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SnapshotError, match=r"s01_a\.csv"):
        snapshots.restore("HEAD")
    assert not (tmp_path / "elsewhere").exists()
    (inbox / "2024-01-01/s01_a.csv").unlink()
    (inbox / "2024-01-01/s01_a.csv").mkdir()
    with pytest.raises(SnapshotError, match=r"s01_a\.csv"):
        snapshots.restore("HEAD")
    (inbox / "2024-01-01/s01_a.csv").rmdir()
    assert snapshots.restore("HEAD").written == 1
    with pytest.raises(SnapshotError, match="older than the first snapshot"):
        snapshots.restore("HEAD~1")
    with pytest.raises(SnapshotError, match=r"commit nowhere: .*har data list"):
        snapshots.restore("nowhere")


@pytest.mark.release
def test_two_at_once_and_a_file_that_grows(made: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    growing = put(made, "2024-01-01/s03_a.csv", "begin")

    # It changes between two looks at it.
    original = _copy_of()

    def copy_and_grow(source: object, target: Path) -> tuple[str, str]:
        done = original(source, target)
        if target.read_bytes() == b"begin":
            growing.write_bytes(b"begin, and more")
        return done

    monkeypatch.setattr("har.snapshots._objects._copy", copy_and_grow)
    results: list[object] = []
    runs = [threading.Thread(target=lambda: results.append(take(made))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(results) == 2
    unfinished = [result.unfinished for result in results]
    assert ("2024-01-01/s03_a.csv",) in unfinished
    # The other run came later, and has the whole file.
    assert [one.files for one in Snapshots(made.settings).history()] == [3, 2]
    lists = git(made.settings.root, "log", "--format=%s", "--", "data/inbox.dvc").splitlines()
    assert lists == ["Snapshot: because"] * 2


def _copy_of() -> object:
    from har.snapshots import _objects

    return _objects._copy


@pytest.mark.release
def test_a_project_in_a_folder_of_a_larger_repository(tmp_path: Path) -> None:
    outer = tmp_path / "place" / "outer"
    made = make_project(outer / "projects" / "wrist")
    root = made.settings.root
    (root / ".git").rename(tmp_path / "gone")
    (outer / "other.txt").write_text("other")
    git(outer, "init", "-q", "-b", "main")
    git(outer, "add", ".")
    git(outer, "commit", "-qm", "all")
    put(made, "2024-01-01/s01_a.csv", "one\n")
    take(made)
    # The remote is beside the repository, not in it.
    assert (tmp_path / "place" / "outer-dvc" / "files").is_dir()
    assert git(outer, "status", "--porcelain") == ""
    assert "projects/wrist/data/inbox.dvc" in git(outer, "show", "--name-only")
    assert [one.files for one in Snapshots(made.settings).history()] == [1]
    (made.settings.path("inbox") / "2024-01-01/s01_a.csv").unlink()
    assert Snapshots(made.settings).restore("HEAD").written == 1


@pytest.mark.release
def test_an_inbox_elsewhere_and_a_machine_without_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_project(tmp_path / "place" / "project")
    elsewhere = tmp_path / "nas" / "uploads"
    settings = made.settings.model_copy(update={"paths": made.settings.paths.model_copy(update={"inbox": elsewhere})})
    made = Project(settings)
    put(made, "2024-01-01/s01_a.csv", "one\n")
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    git(settings.root, "config", "user.useConfigOnly", "true")
    take(made)
    assert git(settings.root, "log", "-1", "--format=%an %ae") == "anna anna@lab"
    (elsewhere / "2024-01-01/s01_a.csv").unlink()
    Snapshots(settings).restore("HEAD")
    assert contents(elsewhere) == {"2024-01-01/s01_a.csv": b"one\n"}


@pytest.mark.release
def test_data_on_another_disk_by_a_link(tmp_path: Path) -> None:
    made = make_project(tmp_path / "place" / "project")
    root = made.settings.root
    (tmp_path / "big").mkdir()
    (root / "data").symlink_to(tmp_path / "big")
    path = put(made, "2024-01-01/s01_a.csv", "one\n")
    with pytest.raises(SnapshotError, match=r"Add it: /inbox/"):
        take(made)
    (root / ".gitignore").write_text((root / ".gitignore").read_text() + "/data\n/inbox/\n/labels/\n")
    git(root, "commit", "-qam", "data is a link")
    take(made)
    assert "inbox.dvc" in git(root, "show", "--format=", "--name-only").splitlines()
    path.unlink()
    assert Snapshots(made.settings).restore("HEAD").written == 1
    assert contents(tmp_path / "big" / "inbox") == {"2024-01-01/s01_a.csv": b"one\n"}
    assert (root / "data").is_symlink()
    assert git(root, "status", "--porcelain") == ""


@pytest.mark.release
def test_an_inbox_that_is_a_link(tmp_path: Path) -> None:
    made = make_project(tmp_path / "place" / "project")
    link = made.settings.root / "data" / "inbox"
    link.parent.mkdir()
    (tmp_path / "big").mkdir()
    link.symlink_to(tmp_path / "big")
    path = put(made, "2024-01-01/s01_a.csv", "one\n")
    take(made)
    path.unlink()
    assert Snapshots(made.settings).restore("HEAD").written == 1
    assert contents(tmp_path / "big") == {"2024-01-01/s01_a.csv": b"one\n"}
    assert link.is_symlink()


@pytest.mark.release
def test_what_it_asks_for_before_it_begins(made: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = made.settings.root
    with pytest.raises(SnapshotError, match="a reason"):
        take(made, "  ")
    ignore = (root / ".gitignore").read_text()
    for line, said in (
        ("/data/", r"data/inbox\.dvc not to be ignored.*/data/\?\*"),
        ("/data/*\n!/data/*.dvc", r"got /data/\*\. Replace"),
        ("", r"keeps the files of data/inbox/ out of git"),
    ):
        (root / ".gitignore").write_text(line + "\n")
        with pytest.raises(SnapshotError, match=said):
            take(made)
    (root / ".gitignore").write_text(ignore)
    with monkeypatch.context() as patch:
        patch.setattr(_dvc, "executable", lambda root: None)
        with pytest.raises(SnapshotError, match=r"make setup.*uv tool install 'dvc\[s3\]"):
            take(made)
        assert Snapshots(made.settings).history() == []
    assert not (root / ".dvc").exists()
    plain = tmp_path / "plain"
    plain.mkdir()
    with pytest.raises(SnapshotError, match=r"git init"):
        Snapshots(made.settings.model_copy(update={"root": plain})).take("x", who=WHO)
    for path in made.settings.path("inbox").rglob("*.csv"):
        path.unlink()
    with pytest.raises(SnapshotError, match=r"empty folder.*har replay"):
        take(made)
    put(made, "2024-01-01/s01_a.csv")
    take(made)
    (made.settings.path("inbox") / "2024-01-01/s01_a.csv").unlink()
    with pytest.raises(SnapshotError, match=r"the last snapshot has 1 files.*--empty"):
        take(made)
    assert take(made, empty=True).snapshot.files == 0
