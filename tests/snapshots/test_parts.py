"""What snapshots are made of, without DVC: objects, stamps, what a snapshot covers, what is told when it fails."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from loop_support import fill
from snapshot_support import git, make_project, put, take
from tests_support import example_recipe

from har.errors import LabelError, SnapshotError
from har.jobs import snapshot as job
from har.jobs.label import import_labels, undo_batch
from har.lake import Lake
from har.project import Project
from har.recipe import Recipe
from har.registry import git_state
from har.settings import Settings
from har.snapshots import Pointer, Snapshots, add_table, is_configured, read_table
from har.snapshots._coverage import compare
from har.snapshots._dvc import quoted
from har.snapshots._known import Known
from har.snapshots._labels import write_table
from har.snapshots._objects import NotPlainError, Objects, stamp

DAY = dt.date(2024, 1, 18)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "cache")


def test_an_object_is_what_its_name_says(objects: Objects, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a" * 3_000_000)
    kept = objects.keep(path)
    assert kept.md5 == hashlib.md5(b"a" * 3_000_000, usedforsecurity=False).hexdigest()
    assert kept.sha256 == hashlib.sha256(b"a" * 3_000_000).hexdigest()
    assert objects.path(kept.md5).read_bytes() == path.read_bytes()
    assert objects.path(kept.md5).stat().st_mode & 0o777 == 0o444
    # A half one, as a power failure leaves it, is replaced.
    objects.path(kept.md5).chmod(0o644)
    objects.path(kept.md5).write_bytes(b"a")
    objects.keep(path)
    assert objects.path(kept.md5).stat().st_size == 3_000_000
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(NotPlainError):
            objects.keep(tmp_path / name)


def test_the_list_of_an_empty_folder_and_of_names_is_that_of_dvc(objects: Objects) -> None:
    # As `dvc add` of 3.67.1 names them.
    assert objects.keep_list({}) == "d751713988987e9331980363e24189ce.dir"
    files = {
        "2024-01-01/s01_a.csv": "e8a5da2185eb0563c20079ce3ca263ba",
        "2024-01-01/s02_a.csv": "e2ee9ad17fdffb4d4085276497dfb647",
        "2024-01-01/s03_a.csv": "0862dda1a67a1e9309ef05ca13acca1a",
        "2024-01-01/s04_a.csv": "928b7cbcbb76bba4d46e0df0ea99b789",
    }
    oid = objects.keep_list(dict(reversed(files.items())))
    assert oid == "77f0972ddb4426c18ffacd4f98f2f3cd.dir"
    assert objects.files(oid) == files
    pointer = Pointer(oid, 4, 1364, "inbox")
    text = f"outs:\n- md5: {oid}\n  size: 1364\n  nfiles: 4\n  hash: md5\n  path: inbox\n"
    assert pointer.text() == text
    assert Pointer.parse(text, "here") == pointer
    for wrong in ("outs: []", "<<<<<<< HEAD", text.replace(".dir", ""), "outs:\n- md5: x.dir\n"):
        with pytest.raises(SnapshotError, match=r"data/inbox\.dvc"):
            Pointer.parse(wrong, "data/inbox.dvc")


def test_a_file_is_read_again_when_it_may_have_changed(objects: Objects, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("one")
    known = Known(tmp_path / "known.json")
    known.add("inbox/a.csv", objects.keep(path))
    # Just written: another change may show the same stamp.
    assert known.find("inbox/a.csv", path.lstat()) is None
    old = objects.keep(path)
    size, _, _, inode = old.stamp
    known.add("inbox/a.csv", replace(old, stamp=(size, 1, 1, inode)))
    known.save()
    again = Known(tmp_path / "known.json")
    assert again.sha256(old.md5) == old.sha256
    assert again.find("inbox/a.csv", path.lstat()) is None
    assert stamp(path.lstat()) != (size, 1, 1, inode)
    again.keep_only("inbox/", [])
    again.save()
    assert json.loads((tmp_path / "known.json").read_text())["files"] == {}
    (tmp_path / "known.json").write_text("{half")
    assert Known(tmp_path / "known.json").sha256(old.md5) is None


def test_values_of_the_configuration_survive() -> None:
    assert quoted("s3://bucket/raw") == "s3://bucket/raw"
    assert quoted("key#1") == '"key#1"'
    assert quoted(' "x') == "' \"x'"


def cover(objects: Objects, tmp_path: Path, files: dict[str, str], labels: pl.DataFrame | None = None) -> object:
    """What a snapshot of one file, `2024-01-18/s01_a.csv`, covers."""
    path = tmp_path / "kept.csv"
    path.write_text("one")
    inbox = objects.keep_list({"2024-01-18/s01_a.csv": objects.keep(path).md5})
    return compare({"inbox": Pointer(inbox, 1, 3, "inbox")}, files, labels, objects, Known(tmp_path / "none.json"))


def test_a_hash_is_given_only_if_everything_is_there(objects: Objects, tmp_path: Path, lake: Lake) -> None:
    same = {"2024-01-18/s01_a.csv": hashlib.sha256(b"one").hexdigest()}
    assert list(cover(objects, tmp_path, same).hashes) == ["inbox"]
    assert cover(objects, tmp_path, {}).lacks == ""
    other = cover(objects, tmp_path, {"2024-01-18/s01_a.csv": hashlib.sha256(b"two").hexdigest()})
    assert (other.hashes, other.lacks) == (
        {},
        "2024-01-18/s01_a.csv with other bytes in the snapshot than in the lake",
    )
    newer = {**same, **{f"2024-01-19/s0{n}_a.csv": "" for n in range(1, 6)}}
    lacks = cover(objects, tmp_path, newer).lacks
    assert lacks.startswith("5 files (2024-01-19/s01_a.csv, 2024-01-19/s02_a.csv, ")
    assert lacks.endswith("of the lake in no snapshot")
    labels = pl.DataFrame({"feedback_id": ["a"], "date": [DAY], "subject": ["s01"]})
    assert cover(objects, tmp_path, same, labels).lacks == "labels that are in no snapshot"
    assert cover(objects, tmp_path, same, labels.clear()).lacks == ""
    for path in (tmp_path / "cache").rglob("*.dir"):
        path.unlink()
    empty = Objects(tmp_path / "other")
    gone = compare({"inbox": Pointer("0.dir", 1, 3, "inbox")}, same, None, empty, Known(tmp_path / "none.json"))
    assert "not in this machine's cache" in gone.lacks


def test_imported_label_files_are_kept_and_the_table_comes_back(
    tmp_path: Path, lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(lake, settings, [DAY], ["s01", "s02"], labelled=False)
    project = Project(settings)
    header = "subject,start,end,activity\n"
    file = tmp_path / "my diary?.csv"
    file.write_text(f"{header}s01,{DAY}T09:00:00Z,{DAY}T09:00:20Z,ROW\n")
    assert import_labels(project, file, dry_run=True).batch == ""
    assert not settings.path("labels").exists()
    done = import_labels(project, file)
    kept = settings.path("labels") / f"{done.batch}_my_diary_.csv"
    assert kept.read_bytes() == file.read_bytes()
    assert import_labels(project, file).batch == ""
    assert list(settings.path("labels").iterdir()) == [kept]
    file.write_text(f"{header}s02,{DAY}T09:00:00Z,{DAY}T09:00:20Z,PEN\n")
    taken_back = import_labels(project, file).batch
    undo_batch(lake, taken_back)

    write_table(lake, settings.path("labels"))
    table = settings.path("labels") / "labels.parquet"
    before, stored = table.read_bytes(), lake.labels.read().sort("feedback_id")
    assert stored["subject"].to_list() == ["s01"]
    write_table(lake, settings.path("labels"))
    assert table.read_bytes() == before
    other = Lake(tmp_path / "other", settings.sensors.channels)
    assert add_table(table, other) == 1
    assert add_table(table, other) == 0
    assert other.labels.read().sort("feedback_id").equals(stored)
    with pytest.raises(LabelError, match="har data restore"):
        read_table(file, other)
    undo_batch(lake, done.batch)
    write_table(lake, settings.path("labels"))
    assert not table.exists()


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    put(project, "2024-01-01/s01_a.csv")
    (project.settings.root / ".git").rename(tmp_path / "gone")
    git(project.settings.root, "init", "-q")
    with pytest.raises(SnapshotError, match=r"got none yet\. Commit the project first"):
        take(project)


def test_pointers_are_no_code(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    root = project.settings.root
    assert not git_state(root).dirty
    (root / "data").mkdir()
    (root / ".dvc").mkdir()
    for name in ("data/inbox.dvc", ".dvc/config", ".dvcignore", "data/inbox"):
        (root / name).write_text("x")
    assert not git_state(root).dirty
    # The recordings are ignored, and the pointer is not.
    assert "data/inbox.dvc" in git(root, "status", "--porcelain", "--untracked-files=all")
    (root / "code.py").write_text("x")
    assert git_state(root).dirty


def test_a_recipe_keeps_its_key(tmp_path: Path) -> None:
    recipe = example_recipe()
    held = replace(recipe, recordings_version=3, snapshot={"inbox": "77f0972ddb4426c1.dir"}, snapshot_lacks="")
    assert held.key == recipe.key
    assert held.data_version == f"{recipe.data_version}, dvc@77f0972ddb44"
    assert held.tags()["dvc_inbox"] == "77f0972ddb4426c1.dir"
    assert "dvc_lacks" not in recipe.tags()
    assert Recipe.from_json(json.loads(json.dumps(held.to_json()))) == held
    old = {name: value for name, value in recipe.to_json().items() if not name.startswith(("snapshot", "recordings"))}
    assert Recipe.from_json(old) == recipe


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("secret_access_key = hunter2", r"--unset far secret_access_key, then .*--local far secret_access_key VALUE"),
        ("password = hunter2", "--unset far password"),
        ("url = ssh://anna:hunter2@nas/har", "Take the password out of the address"),
    ],
)
def test_a_secret_is_never_committed(tmp_path: Path, line: str, said: str) -> None:
    project = make_project(tmp_path / "project")
    put(project, "2024-01-01/s01_a.csv")
    root = project.settings.root
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text(f"[core]\n    remote = far\n['remote \"far\"']\n    {line}\n")
    with pytest.raises(SnapshotError, match=said) as caught:
        take(project)
    assert "hunter2" not in str(caught.value)
    assert git(root, "log", "--format=%s") == "as made"


def test_before_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path / "project")
    root = project.settings.root
    put(project, "2024-01-01/s01_a.csv")
    # Nobody has begun with snapshots here: nothing is done, and nothing said.
    assert job.before_training(project) == ""
    assert (is_configured(root), capsys.readouterr().err, (root / ".dvc").exists()) == (False, "", False)
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = /nowhere\n")
    assert is_configured(root)
    off = project.settings.model_copy(
        update={"snapshots": project.settings.snapshots.model_copy(update={"before_training": False})}
    )
    assert job.before_training(Project(off)) == ""
    # A container has the code, and no checkout of it.
    (root / ".git").rename(tmp_path / "gone")
    assert job.before_training(project) == "the snapshot before the training failed (SnapshotError)"
    assert "No snapshot before training:" in (said := capsys.readouterr().err)
    assert "expected a git repository" in said
    assert Snapshots(project.settings).coverage("", {}, None).lacks == "no git commit, so no snapshot"
