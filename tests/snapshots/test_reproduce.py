"""A registered model trained again on a fresh clone with an empty lake, from the snapshot that its recipe names."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest
from days_support import SUBJECTS
from s3_support import moto, needs_moto
from snapshot_support import ROOT, contents, git, keys, make_project, needs_dvc, put, use_s3
from tests_support import write_recording

from har.errors import ReproductionError
from har.jobs.ingest import ingest
from har.jobs.label import import_labels
from har.jobs.reproduce import Reproduction, reproduce
from har.jobs.snapshot import take
from har.jobs.train import train
from har.project import Project, open_project
from har.snapshots import Snapshots

pytestmark = [needs_dvc, pytest.mark.stack]
DAY = dt.date(2024, 1, 8)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with its code in git, recordings, an import of labels, and nothing else."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = make_project(tmp_path / "project")
    root = project.settings.root
    shutil.copytree(ROOT / "src" / "har", root / "src" / "har", ignore=shutil.ignore_patterns("__pycache__"))
    text = (root / "har.toml").read_text().replace("epochs = 12", "epochs = 2")
    (root / "har.toml").write_text(text + "\n[monitoring]\nenabled = false\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "code")
    project = open_project(root)
    inbox = project.settings.path("inbox")
    for subject in SUBJECTS:
        for name in ("PEN", "ROW"):
            write_recording(inbox, DAY.isoformat(), subject, name.lower(), name, seconds=30)
    assert ingest(project).complete
    labels = root.parent / "diary of s01.csv"
    labels.write_text(f"subject,start,end,activity\ns01,{DAY}T09:00:00Z,{DAY}T09:00:20Z,ABD\n")
    assert import_labels(project, labels).new == 1
    return project


def reproduced(project: Project, clone: Path) -> Reproduction:
    """Clone the repository, bring the registry, and train version 1 again there."""
    root = project.settings.root
    git(root.parent, "clone", "-q", str(root), str(clone))
    shutil.copytree(root / "mlruns", clone / "mlruns")
    here = open_project(clone)
    assert here.lake.samples.version() == -1
    return reproduce(here.registry, 1, root=clone, lake=here.settings.path("lake"), snapshots=Snapshots(here.settings))


def check(project: Project, clone: Path) -> None:
    """Train, also with a file that came after the ingest; the figures are those of the clone."""
    later = put(project, "2024-01-09/s01_later.csv", "not ingested yet")
    take(project, "the first")
    report = train(project)
    tags = project.registry.version(report.version).tags
    held = Snapshots(project.settings).pointers("HEAD")
    assert tags["dvc_inbox"] == held["inbox"].oid
    assert tags["dvc_labels"] == held["labels"].oid
    assert tags["git_commit"] == git(project.settings.root, "rev-parse", "HEAD")
    assert tags["data_version"] == f"samples@0, labels@0, dvc@{held['inbox'].oid[:12]}"
    assert "dvc_lacks" not in tags
    assert tags["git_dirty"] == "false"
    before = contents(project.settings.path("inbox"))
    result = reproduced(project, clone)
    assert result.equal, [row for row in result.rows if not row.equal]
    assert {"accuracy", "windows_trained", "temperature"} <= {row.metric for row in result.rows}
    assert "12 recordings" in result.notes[0]
    # Neither clone was changed: no recordings, no lake, no commit.
    assert not (clone / "data" / "inbox").exists()
    assert not (clone / "lake" / "samples").exists()
    assert git(clone, "status", "--porcelain", "--untracked-files=all") == ""
    assert contents(project.settings.path("inbox")) == before
    assert later.exists()


@pytest.mark.release
def test_on_a_fresh_clone_with_an_empty_lake(trained: Project, tmp_path: Path) -> None:
    check(trained, tmp_path / "clone")


@needs_moto
@pytest.mark.release
def test_from_an_s3_remote(trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = trained.settings.root
    with moto() as served:
        served.make_bucket("raw")
        use_s3(root, served, "raw")
        clone = tmp_path / "clone"
        original = git

        def clone_with_keys(at: Path, *arguments: str, **how: bool) -> str:
            done = original(at, *arguments, **how)
            if arguments[0] == "clone":
                keys(clone)
            return done

        monkeypatch.setitem(reproduced.__globals__, "git", clone_with_keys)
        check(trained, clone)
        # No commit has the secret; it is in config.local, and stays out of the temporary workspace.
        assert "testing#1" not in original(root, "log", "-p", "--all")
        assert "testing#1" not in "".join(p.read_text() for p in (root / ".dvc" / "tmp").rglob("config*"))


@pytest.mark.release
def test_a_training_goes_on_without_a_snapshot_and_then_the_lake_is_asked_for(trained: Project, tmp_path: Path) -> None:
    # A remote that cannot be: the snapshot before the training fails.
    (trained.settings.root / ".dvc").mkdir()
    (trained.settings.root / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    remote = store\n['remote \"store\"']\n    url = /dev/null/store\n"
    )
    version = train(trained).version
    lacks = "no snapshot was taken; the snapshot before the training failed (SnapshotError)"
    assert trained.registry.version(version).tags["dvc_lacks"] == lacks
    assert trained.registry.recipe(version).snapshot_lacks == lacks
    with pytest.raises(ReproductionError, match=r"samples@0, or a snapshot.*no snapshot was taken"):
        reproduced(trained, tmp_path / "clone")
