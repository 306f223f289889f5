"""Bad days of a snapshot: a remote that is gone, full or unreachable, a full disk here, kill -9 at any moment.

Each time the inbox is as it was, no half pointer is committed, and the same command completes once the cause is mended.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from s3_support import moto, needs_moto
from snapshot_support import (
    contents,
    dvc,
    git,
    make_project,
    needs_dvc,
    put,
    take,
    use_s3,
)

from har.errors import SnapshotError
from har.jobs.snapshot import before_training
from har.project import Project
from har.snapshots import Snapshots

pytestmark = [needs_dvc, pytest.mark.release]

TAKE = """
import os, signal, sys
from pathlib import Path
from har.snapshots import Snapshots, _dvc, _git, _objects, _snapshots
from har.settings import load_settings

def die(*_, **__):
    os.killpg(0, signal.SIGKILL)

{patch}
Snapshots(load_settings(Path(sys.argv[1]))).take("because", who="anna@lab")
"""
FULL = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
"""

MOMENTS = {
    "while files are copied": """
settle, left = _objects.Objects._settle, [2]
def dying(self, *of):
    left[0] -= 1
    left[0] or die()
    settle(self, *of)
_objects.Objects._settle = dying
""",
    "half of a file copied": """
copy = _objects._copy
def dying(source, target):
    target.write_bytes(source.read(3))
    die()
_objects._copy = dying
""",
    "before it is sent": "_dvc.Dvc.push = die",
    "while it is sent": """
import subprocess
run = subprocess.run
def dying(command, **how):
    if "push" not in command:
        return run(command, **how)
    with subprocess.Popen(command, cwd=how["cwd"], env=how["env"], stdout=-3, stderr=-3) as process:
        store = Path(sys.argv[1]).parent / "project-dvc"
        while not any(path.is_file() for path in store.rglob("*")):
            if process.poll() is not None:
                break
    die()
_dvc.subprocess.run = dying
""",
    "before the commit": "_git.Repository.commit = die",
    "before the branch moves": """
run = _git.Repository._run
_git.Repository._run = lambda self, *words, **how: die() if words[0] == "update-ref" else run(self, *words, **how)
""",
    "after the commit": "_git.Repository.refresh = die",
}


@pytest.fixture
def made(tmp_path: Path) -> Project:
    """A project with five files in its inbox."""
    project = make_project(tmp_path / "place" / "project")
    for number in range(5):
        put(project, f"2024-01-01/s{number:02d}_a.csv", f"{number}\n" * 1000)
    return project


def run(made: Project, patch: str) -> subprocess.CompletedProcess[str]:
    """Take a snapshot in a process group of its own."""
    command = [sys.executable, "-c", TAKE.format(patch=patch), str(made.settings.root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)


def check_complete(made: Project) -> None:
    """The newest snapshot has the whole inbox, here and at the remote."""
    root = made.settings.root
    assert "up to date" in dvc(root, "status").stdout
    clone = root.parent / "clone"
    git(root.parent, "clone", "-q", str(root), str(clone))
    pulled = dvc(clone, "pull")
    assert pulled.returncode == 0, pulled.stderr
    assert contents(clone / "data" / "inbox") == contents(made.settings.path("inbox"))
    shutil.rmtree(clone)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed(made: Project, moment: str) -> None:
    root = made.settings.root
    before = contents(made.settings.path("inbox"))
    head = git(root, "rev-parse", "HEAD")
    done = run(made, MOMENTS[moment])
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert contents(made.settings.path("inbox")) == before
    if moment == "after the commit":
        check_complete(made)
    else:
        assert git(root, "rev-parse", "HEAD") == head
        assert git(root, "ls-files", "data") == ""
    taken = take(made)
    assert taken.snapshot.files == 5
    assert len(Snapshots(made.settings).history()) == 1
    assert git(root, "status", "--porcelain") == ""
    assert not list((root / ".dvc" / "cache" / "har-drafts").glob("*"))
    check_complete(made)


def test_a_restore_that_is_killed_goes_on(made: Project) -> None:
    inbox = made.settings.path("inbox")
    take(made)
    before = contents(inbox)
    for path in inbox.rglob("*.csv"):
        path.unlink()
    put(made, "2024-01-02/s01_a.csv", "another\n")
    take(made, "another")
    patch = (
        "from har.snapshots import _restore\nreplacing, left = _restore.replacing, [3]\n"
        "def dying(target):\n    left[0] -= 1\n    left[0] or die()\n    return replacing(target)\n"
        "_restore.replacing = dying\nSnapshots.take = lambda self, *_, **__: self.restore('HEAD~1')"
    )
    done = run(made, patch)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(contents(inbox)) == 3
    assert Snapshots(made.settings).restore("HEAD~1").written == 3
    assert contents(inbox) == before


def test_a_remote_folder_that_is_gone_or_another(made: Project) -> None:
    root = made.settings.root
    take(made)
    put(made, "2024-01-02/s01_a.csv", "more\n")
    store = root.parent / "project-dvc"
    store.rename(root.parent / "unplugged")
    head = git(root, "rev-parse", "HEAD")
    with pytest.raises(SnapshotError, match=r"but got no folder\. Mount the disk"):
        take(made)
    assert not store.exists()
    # An empty mount point: DVC would fill the disk below it.
    store.mkdir()
    with pytest.raises(SnapshotError, match="a folder without it"):
        take(made)
    assert list(store.iterdir()) == []
    store.rmdir()
    store.write_text("a file")
    with pytest.raises(SnapshotError, match="no folder, but a file"):
        take(made)
    assert "SnapshotError" in before_training(made)
    assert git(root, "rev-parse", "HEAD") == head
    assert git(root, "status", "--porcelain") == ""
    store.unlink()
    (root.parent / "unplugged").rename(store)
    assert before_training(made) == ""
    assert Snapshots(made.settings).history()[0].files == 6
    check_complete(made)
    # A new remote gets all that there was, as the message says.
    assert dvc(root, "remote", "modify", "store", "url", str(root.parent / "new")).returncode == 0
    put(made, "2024-01-03/s01_a.csv", "even more\n")
    with pytest.raises(SnapshotError, match=r"mkdir -p .*new && dvc push --all-commits"):
        take(made)
    (root.parent / "new").mkdir()
    assert dvc(root, "push", "--all-commits").returncode == 0
    assert take(made).snapshot.files == 7


def test_a_remote_that_is_full(made: Project, tmp_path: Path) -> None:
    root, store = made.settings.root, tmp_path / "place" / "project-dvc"
    store.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(store)], check=False)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here: it takes root")
    try:
        put(made, "2024-01-02/s01_big.csv", os.urandom(200_000))
        with pytest.raises(SnapshotError, match=r"(?i)no space left|failed to upload") as caught:
            take(made)
        assert "run the same command again" in str(caught.value)
        assert git(root, "log", "--format=%s") == "as made"
        assert (
            git(root, "status", "--porcelain", "--untracked-files=all")
            == "?? .dvc/.gitignore\n?? .dvc/config\n?? .dvcignore"
        )
        subprocess.run(["mount", "-o", "remount,size=4m", str(store)], check=True)
        assert take(made).snapshot.files == 6
        check_complete(made)
    finally:
        subprocess.run(["umount", str(store)], check=False)


def test_a_disk_that_is_full_here(made: Project) -> None:
    put(made, "2024-01-02/s01_big.csv", "x" * 5000)
    done = run(made, FULL)
    assert done.returncode == 1
    assert "StorageError" in done.stderr
    assert "File too large" in done.stderr
    assert git(made.settings.root, "log", "--format=%s") == "as made"
    assert take(made).snapshot.files == 6


@needs_moto
def test_s3_that_does_not_answer(made: Project) -> None:
    root = made.settings.root
    with moto() as served:
        served.make_bucket("raw")
        use_s3(root, served, "raw")
        take(made)
        put(made, "2024-01-02/s01_a.csv", "more\n")
        served.process.kill()
        served.process.wait()
        head = git(root, "rev-parse", "HEAD")
        with pytest.raises(SnapshotError, match=r"remote s3://raw/raw: .*connect"):
            take(made)
        assert git(root, "rev-parse", "HEAD") == head
        assert "testing#1" not in before_training(made)
    with moto() as served:
        assert dvc(root, "remote", "modify", "far", "endpointurl", served.url).returncode == 0
        with pytest.raises(SnapshotError, match=r"(?i)bucket"):
            take(made)
        served.make_bucket("raw")
        assert take(made).snapshot.files == 6
        git(root, "commit", "-qam", "moved")
        clone = root.parent / "clone"
        git(root.parent, "clone", "-q", str(root), str(clone))
        shutil.copy(root / ".dvc" / "config.local", clone / ".dvc")
        assert dvc(clone, "pull").returncode == 0
        assert contents(clone / "data" / "inbox") == contents(made.settings.path("inbox"))


def test_an_object_that_rots_in_the_cache_is_noticed(made: Project) -> None:
    take(made)
    inbox, cache = made.settings.path("inbox"), made.settings.root / ".dvc" / "cache" / "files" / "md5"
    lost = inbox / "2024-01-01" / "s00_a.csv"
    before = lost.read_bytes()
    rotten = next(path for path in cache.rglob("*") if path.is_file() and path.read_bytes() == before)
    rotten.chmod(0o644)
    rotten.write_bytes(b"9" * len(before))
    lost.unlink()
    with pytest.raises(SnapshotError, match=r"the file is damaged\. Delete it"):
        Snapshots(made.settings).restore("HEAD")
    assert not lost.exists()
    rotten.unlink()
    Snapshots(made.settings).restore("HEAD")
    assert lost.read_bytes() == before
