"""Files are private, and what killed processes leave is removed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support import HAR_TOML, write_recording

from har.files import temporary_folder, without_question_mark, write_atomically
from har.project import open_project
from har.settings import load_settings


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(root: Path) -> dict[str, str]:
    """The permissions of everything below `root`, except for the recordings, which somebody else wrote."""
    paths = (path for path in root.rglob("*") if path.suffix != ".csv" and path.name != "har.toml")
    return {str(path.relative_to(root)): oct(stat.S_IMODE(path.lstat().st_mode)) for path in paths}


@pytest.mark.parametrize(("setting", "others"), [("", 0o077), ("share_with_group = true\n", 0o027)])
def test_what_jobs_write_is_private(tmp_path: Path, setting: str, others: int) -> None:
    from har.jobs.check import check
    from har.jobs.ingest import ingest
    from har.jobs.summarise import summarise

    write_recording(tmp_path / "data/inbox", "2024-01-01", "s01", "a", seconds=10)
    (tmp_path / "data/inbox/stray.csv").write_text("no recording")
    made_by_us = set(tmp_path.rglob("*"))
    (tmp_path / "har.toml").write_text(HAR_TOML.replace("[project]\n", f"[project]\n{setting}"))
    project = open_project(tmp_path)
    assert len(ingest(project).quarantined) == 1
    summarise(project)
    assert check(project).findings == ()
    write_atomically(project.settings.path("reports") / "page.html", "")
    found = {path: mode for path, mode in modes(tmp_path).items() if tmp_path / path not in made_by_us}
    assert {"lake/samples", "reports/page.html", "lake/recordings/_delta_log"} <= found.keys()
    assert {path: mode for path, mode in found.items() if int(mode, 8) & others} == {}
    assert int(found["reports/page.html"], 8) == 0o666 & ~others


def test_a_narrower_umask_stays(tmp_path: Path) -> None:
    (tmp_path / "har.toml").write_text(HAR_TOML.replace("[project]\n", "[project]\nshare_with_group = true\n"))
    os.umask(0o077)
    load_settings(tmp_path)
    assert os.umask(0o077) == 0o077


HOLD = """
import sys
from har.files import temporary_folder
with temporary_folder("trial") as folder:
    (folder / "package").mkdir()
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_the_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    others = tmp_path / "har-trial-of-somebody"
    others.mkdir()
    (tmp_path / "har-trial-link").symlink_to(others)
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with temporary_folder("trial"):
            assert (left / "package").is_dir()  # in use
        process.kill()
    with temporary_folder("another"):
        assert left.is_dir()
    with temporary_folder("trial") as folder:
        assert not left.exists()
        with temporary_folder("trial"):
            assert folder.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"har-trial-of-somebody", "har-trial-link"}


def test_a_database_below_a_question_mark_lies_where_it_should(tmp_path: Path) -> None:
    folder = tmp_path / "what? 100%"
    folder.mkdir()
    link = without_question_mark(folder)
    (link / "prefect.db").write_text("")
    assert "?" not in str(link)
    assert (folder / "prefect.db").exists()
    assert without_question_mark(folder) == link
    assert without_question_mark(tmp_path) == tmp_path
