"""Projects in git with recordings, DVC as it is installed here, and an S3 server for tests of snapshots."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests_support import HAR_TOML

from har.project import Project, open_project
from har.snapshots import Snapshots

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv" / "tools" / "bin"
DVC, MOTO = TOOLS / "dvc", TOOLS / "moto_server"
WHO = "anna@lab"

needs_dvc = pytest.mark.skipif(not DVC.exists(), reason="DVC is not installed in .venv/tools: make setup")
needs_moto = pytest.mark.skipif(not MOTO.exists(), reason="moto's server is not installed in .venv/tools: make setup")


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


@dataclass(frozen=True)
class Storage:
    """An S3 server of this test; its address, and the process."""

    url: str
    process: subprocess.Popen[bytes]

    def make_bucket(self, name: str) -> None:
        """Make a bucket; the server checks no signature."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        connection.request("PUT", f"/{name}")
        assert connection.getresponse().status == 200
        connection.close()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def storage() -> Iterator[Storage]:
    """An S3 server in memory."""
    port = free_port()
    command = [str(MOTO), "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                time.sleep(0.1)
            yield Storage(f"http://127.0.0.1:{port}", process)
        finally:
            process.kill()


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
