"""A backup is taken while others write, is whole or is none, and comes back byte by byte into an empty project."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from label_support import filled, given
from run_support import ingest, score
from tests_support import write_recording

from har.errors import BackupError, StorageError
from har.files import file_sha256
from har.jobs._archive import read_contents
from har.jobs.backup import backup
from har.jobs.check import check
from har.jobs.restore import restore
from har.labelling import Store, store_path
from har.project import Project, open_project
from har.settings import load_settings

KILLED = """
import sys, time
from pathlib import Path
from har.jobs import _archive
from har.jobs.backup import backup
from har.project import open_project

read = _archive._Hashed.read

def slow(self, size=-1):
    block = read(self, size)
    print("writing", flush=True)
    time.sleep(600)
    return block

_archive._Hashed.read = slow
backup(open_project(), Path(sys.argv[1]))
"""


@pytest.fixture(scope="session")
def rich(veteran: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a scored day, a log of the online service, pages and a token; to be copied."""
    root = shutil.copytree(veteran, tmp_path_factory.mktemp("rich") / "project")
    for name, text in (
        ("data/journal/2024.jsonl", '{"kind": "prediction"}\n'),
        ("data/feedback-token", "0123456789abcdef0123456789abcdef"),
        ("data/quarantine/2024-01-08/s99_x.csv.json", "{}"),
        ("reports/drift/index.html", "<p>quiet</p>"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAR_ROOT", str(root))
        score()
    return root


@pytest.fixture
def full(rich: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    root = shutil.copytree(rich, tmp_path / "project")
    monkeypatch.setenv("HAR_ROOT", str(root))
    return open_project()


@pytest.fixture
def empty(full: Project, tmp_path: Path) -> Project:
    """A new clone of the project: its settings, and no data."""
    return clone(full, tmp_path / "clone")


def clone(project: Project, root: Path) -> Project:
    root.mkdir()
    shutil.copy(project.settings.root / "har.toml", root)
    return Project(load_settings(root))


def hashes(root: Path) -> dict[str, str]:
    """Of everything but locks, the database, which is a new file with the same rows, and folders of this moment."""
    return {
        str(path.relative_to(root)): file_sha256(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith((".lock", ".db")) and "runs" not in path.relative_to(root).parts
    }


def test_a_backup_comes_back_byte_by_byte(full: Project, empty: Project, tmp_path: Path) -> None:
    report = backup(full, tmp_path)
    assert report.path.parent == tmp_path
    assert report.path.name.startswith(f"{full.settings.project.name}-2")
    assert report.path.stat().st_mode & 0o777 == 0o600
    restored = restore(empty.settings, report.path)
    assert hashes(empty.settings.root) == hashes(full.settings.root)
    assert set(restored.places) == {"inbox", "quarantine", "journal", "feedback_token", "reports", "lake", "mlflow"}
    assert (empty.settings.path("feedback_token")).stat().st_mode & 0o077 == 0
    found = check(empty)
    assert found.findings == ()
    assert found.partitions == check(full).partitions > 0
    assert empty.registry.champion().number == full.registry.champion().number
    assert empty.registry.log() == full.registry.log()
    assert empty.registry.model_path("champion").read_bytes() == full.registry.model_path("champion").read_bytes()
    assert empty.lake.predictions.read().equals(full.lake.predictions.read())


def test_the_restored_project_goes_on(full: Project, empty: Project, tmp_path: Path, monkeypatch: Any) -> None:
    restore(empty.settings, backup(full, tmp_path).path)
    monkeypatch.setenv("HAR_ROOT", str(empty.settings.root))
    write_recording(empty.settings.path("inbox"), "2024-01-20", "s01", "new", "PEN", seconds=40)
    ingest()
    assert score().partitions == 1
    again = empty.registry.promote(1, reason="after a restore", who="test")
    assert again.version == 1
    assert check(open_project()).findings == ()


def test_answers_of_the_page_are_of_one_moment(full: Project, empty: Project, tmp_path: Path) -> None:
    store, tasks = filled(store_path(full.settings.path("journal")), 3)
    store.answer(given(tasks[0]))
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:  # an answer that is being written
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE answers SET activity = 'SIT'")
        report = backup(full, tmp_path)
        other.execute("ROLLBACK")
    restore(empty.settings, report.path)
    back = Store(store_path(empty.settings.path("journal")))
    assert back.answers() == store.answers()
    assert back.next("ben") == tasks[1]
    assert len(back.uncollected()) == 1


def test_backups_while_others_write_are_consistent(full: Project, tmp_path: Path) -> None:
    stopped = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        day = 0
        try:
            while not stopped.is_set():
                day += 1
                write_recording(full.settings.path("inbox"), f"2024-02-{day:02d}", "s01", "pen", "PEN", seconds=8)
                ingest()
                score()
                full.registry.set_challenger(1) if day < 0 else full.registry.set_tags(1, {"round": str(day)})
                full.registry.reject(1, f"round {day}") if day < 0 else full.registry.promote(
                    1, reason="again", who="t"
                )
        except BaseException as error:
            failed.append(error)
            raise

    writer = threading.Thread(target=work)
    writer.start()
    try:
        made = [backup(full, tmp_path / f"{number}.tar") for number in range(3)]
    finally:
        stopped.set()
        writer.join()
    assert not failed
    rows = []
    for number, report in enumerate(made):
        copy = clone(full, tmp_path / f"clone-{number}")
        restore(copy.settings, report.path)
        assert check(copy).findings == ()
        assert copy.registry.verify() > 0
        rows.append(copy.lake.recordings.count())
    assert rows == sorted(rows)


@pytest.mark.stack
def test_a_killed_backup_leaves_nothing_that_looks_whole(full: Project, tmp_path: Path) -> None:
    target = tmp_path / "backups"
    target.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    left = [path.name for path in target.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".")
    with pytest.raises(BackupError):
        read_contents(target / left[0])
    report = backup(full, target)
    assert list(target.iterdir()) == [report.path]
    assert not list(full.settings.root.rglob(".backup*"))


@pytest.mark.parametrize("how", ["flipped", "cut short", "without its end", "longer", "another file"])
def test_a_damaged_backup_is_refused_and_changes_nothing(
    full: Project, empty: Project, tmp_path: Path, how: str
) -> None:
    path = backup(full, tmp_path / "whole.tar").path
    content = bytearray(path.read_bytes())
    if how == "flipped":
        with tarfile.open(path) as archive:
            member = next(one for one in archive if one.name.endswith(".parquet"))
        content[member.offset_data + member.size // 2] ^= 1
    elif how == "cut short":
        del content[len(content) // 2 :]
    elif how == "without its end":
        with tarfile.open(path) as archive:
            content[archive.getmember("backup.json").offset :] = bytes(1024)
    elif how == "another file":
        content[:] = b"PK\x03\x04 no backup" * 1000
    path.write_bytes(content)
    if how == "longer":
        with tarfile.open(path, "a") as archive:
            archive.add(full.settings.root / "har.toml", "lake/extra")
    before = hashes(empty.settings.root)
    with pytest.raises(BackupError, match="expected a whole backup, unchanged since it was made"):
        restore(empty.settings, path)
    assert hashes(empty.settings.root) == before


@pytest.mark.parametrize("name", ["../outside", "/outside", "lake/../../outside", "lake//outside"])
def test_members_that_lead_elsewhere_are_refused(empty: Project, tmp_path: Path, name: str) -> None:
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo(name)
        archive.addfile(member)
    with pytest.raises(BackupError, match="no plain file below the project"):
        restore(empty.settings, path)


def test_links_in_a_backup_are_refused(empty: Project, tmp_path: Path) -> None:
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("lake/link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(BackupError, match="no plain file below the project"):
        restore(empty.settings, path)


def test_nothing_is_overwritten(full: Project, empty: Project, tmp_path: Path) -> None:
    path = backup(full, tmp_path).path
    with pytest.raises(BackupError, match="a name that is free"):
        backup(full, path)
    before = hashes(full.settings.root)
    with pytest.raises(BackupError, match="none of what the backup holds"):
        restore(full.settings, path)
    assert hashes(full.settings.root) == before
    (empty.settings.path("reports")).mkdir()
    (empty.settings.path("reports") / "mine.html").write_text("mine")
    with pytest.raises(BackupError, match=r"mine\.html"):
        restore(empty.settings, path)
    assert hashes(empty.settings.root).keys() == {"har.toml", "reports/mine.html"}


def test_other_settings_are_taken_or_kept_as_told(full: Project, empty: Project, tmp_path: Path) -> None:
    path = backup(full, tmp_path).path
    toml = empty.settings.root / "har.toml"
    theirs = toml.read_text()
    toml.write_text(theirs.replace('name = "test-project"', 'name = "other"'))
    other = load_settings(empty.settings.root)
    with pytest.raises(BackupError, match="--settings backup"):
        restore(other, path)
    with pytest.raises(BackupError, match="expected a backup of 'other'"):
        restore(other, path, whose="here")
    assert not (empty.settings.root / "lake").exists()
    restore(other, path, whose="backup")
    assert toml.read_text() == theirs
    assert check(Project(load_settings(empty.settings.root))).findings == ()


def test_an_interrupted_restore_is_finished_by_the_same_command(
    full: Project, empty: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = backup(full, tmp_path).path
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if self.name == ".lake.restoring":
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            restore(empty.settings, path)
    other = backup(full, tmp_path / "other.tar").path
    with pytest.raises(BackupError, match="the backup whose restore was interrupted"):
        restore(empty.settings, other)
    restore(empty.settings, path)
    assert hashes(empty.settings.root) == hashes(full.settings.root)
    assert check(empty).findings == ()


def test_a_full_disk_leaves_nothing_behind(
    full: Project, empty: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = backup(full, tmp_path).path

    def no_space(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("har.jobs.restore._sync", no_space)
        with pytest.raises(OSError, match="No space left"):
            restore(empty.settings, path)
    assert hashes(empty.settings.root).keys() == {"har.toml"}
    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "addfile", no_space)
        with pytest.raises(StorageError, match=r"second\.tar.*No space left"):
            backup(full, tmp_path / "second.tar")
    assert not (tmp_path / "second.tar").exists()
    assert not [one for one in tmp_path.iterdir() if one.name.endswith(".tmp")]


def test_parts_can_be_left_out(full: Project, empty: Project, tmp_path: Path) -> None:
    report = backup(full, tmp_path, recordings=False)
    assert "inbox" not in report.contents.parts()
    assert any("no recordings" in note for note in report.contents.notes)
    restore(empty.settings, report.path)
    assert check(empty).findings == ()
    assert not empty.settings.path("inbox").exists()


def test_a_registry_on_a_server_is_refused_with_the_way_out(
    full: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(BackupError, match="--without-database"):
        full.registry.copy_database(tmp_path)
    assert not list(tmp_path.glob("mlflow*"))
