"""`har data` as people type it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from snapshot_support import git, make_project, needs_dvc, put

from har.snapshots import _dvc
from har_cli import main
from har_cli.data import in_units

Har = Callable[..., tuple[int, str]]


@pytest.fixture
def har(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Har:
    """Run `har` in a project in git, in this process: its exit status, and what it printed."""
    monkeypatch.setenv("HAR_ROOT", str(tmp_path / "place" / "project"))
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["har", *words])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return run


def test_without_dvc_it_says_how_to_get_it(har: Har, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path / "place" / "project")
    put(project, "2024-01-01/s01_a.csv")
    monkeypatch.setattr(_dvc, "executable", lambda root: None)
    assert har("data", "list") == (0, 'There is no snapshot yet: har data snapshot -m "why".\n')
    status, text = har("data", "snapshot", "-m", "why")
    assert status == 2
    assert "make setup" in text
    assert har("data", "snapshot")[0] == 2
    status, text = har("data", "restore", "HEAD")
    assert (status, "older than the first snapshot" in text) == (2, True)


@needs_dvc
@pytest.mark.stack
def test_snapshot_list_restore(har: Har, tmp_path: Path) -> None:
    project = make_project(tmp_path / "place" / "project")
    recording = put(project, "2024-01-01/s01_a.csv", "x" * 2500)
    (recording.parent / "s02_link.csv").symlink_to("/etc/hostname")
    status, text = har("data", "snapshot", "-m", "before [the] move")
    commit = git(project.settings.root, "rev-parse", "HEAD")[:12]
    assert status == 3
    assert f"Snapshot {commit}: 1 files, 2.5 kB; 1 new." in text
    assert "1 left out: data/inbox/2024-01-01/s02_link.csv (a symbolic link)" in text
    listed = har("data", "list")[1]
    assert commit in listed
    assert "before [the] move" in listed
    assert "2,500" in listed
    recording.write_text("unsaved")
    status, text = har("data", "restore", commit)
    assert (status, "data/inbox/2024-01-01/s01_a.csv" in text) == (2, True)
    recording.unlink()
    status, text = har("data", "restore", commit)
    assert (status, "1 files written" in text) == (0, True)
    assert recording.read_text() == "x" * 2500


def test_bytes_for_people() -> None:
    sizes = [0, 999, 1500, 1_200_000_000, 5 * 10**15]
    assert [in_units(size) for size in sizes] == ["0 bytes", "999 bytes", "1.5 kB", "1.2 GB", "5000.0 TB"]


def test_models_name_what_they_were_trained_on() -> None:
    from har_cli.models import _origin

    tags = {"data_version": "samples@7, dvc@77f0972ddb44", "git_commit": "3c43efce01bb8533", "git_dirty": "false"}
    held = _origin({**tags, "dvc_inbox": "77f0972ddb4426c18ffa.dir"})
    assert held.splitlines() == ["samples 7", "dvc 77f0972d", "git 3c43efc"]
    lacking = _origin(json.loads(json.dumps({**tags, "dvc_lacks": "no snapshot", "git_dirty": "true"})))
    assert lacking.splitlines()[1:] == ["no dvc: no snapshot", "git 3c43efc and changes"]
    assert _origin({}) == ""
