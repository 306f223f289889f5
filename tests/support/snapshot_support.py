"""Projects in git with recordings, DVC as it is installed here, and an S3 server for tests of snapshots."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from s3_support import Storage
from tests_support import HAR_TOML

from har.project import Project, open_project
from har.snapshots import Snapshots

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv" / "tools" / "bin"
DVC = TOOLS / "dvc"
WHO = "anna@lab"

needs_dvc = pytest.mark.skipif(not DVC.exists(), reason="DVC is not installed in .venv/tools: make setup")


def git(root: Path, *arguments: str, check: bool = True) -> str:
    """Run git with an identity of its own; its output."""
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(root), *identity, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC as a person would."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    return subprocess.run(
        [str(DVC), *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False
    )


def make_project(root: Path) -> Project:
    """An empty project, committed."""
    root.mkdir(parents=True)
    (root / "har.toml").write_text(HAR_TOML)
    shutil.copy(ROOT / ".gitignore", root)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-qm", "as made")
    return open_project(root)


def put(project: Project, name: str, content: str | bytes = "x\n") -> Path:
    """Write a file into the inbox; its content is no recording."""
    path = project.settings.path("inbox") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def take(project: Project, why: str = "because", **how: object) -> object:
    """Take a snapshot without the lake's labels."""
    return Snapshots(project.settings).take(why, who=WHO, **how)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def use_s3(root: Path, served: Storage, bucket: str) -> None:
    """Let the project's remote be a bucket; its keys are in `config.local` alone."""
    (root / ".dvc").mkdir(exist_ok=True)
    (root / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    check_update = false\n    remote = far\n"
        f"['remote \"far\"']\n    url = s3://{bucket}/raw\n    endpointurl = {served.url}\n"
    )
    keys(root)


def keys(root: Path) -> None:
    """The secret of the bucket, which is in no commit."""
    for name in ("access_key_id", "secret_access_key"):
        done = dvc(root, "remote", "modify", "--local", "far", name, "testing#1")
        assert done.returncode == 0, done.stderr
