"""The registry on a real Postgres, as several machines share it."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from har.errors import NoChampionError
from har.project import use_tracking
from har.registry import Registry

pytestmark = pytest.mark.stack


def _server_program(name: str) -> str | None:
    """The program of a Postgres server; Debian keeps it off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Postgres of our own: a free port, a folder that is deleted with it."""
    initdb, postgres = _server_program("initdb"), _server_program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("needs Postgres (apt-get install postgresql)")
    # It refuses to run as root, and pytest's folders are closed to other users.
    user = "postgres" if os.getuid() == 0 else getpass.getuser()
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="har-postgres-"))
    shutil.chown(folder, user)
    try:
        subprocess.run(
            [initdb, "--pgdata", folder / "data", "--username=har", "--auth=trust", "--no-sync"],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        command = [postgres, "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"]
        with subprocess.Popen(
            command, user=user, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as server:
            try:
                assert server.stdout is not None
                assert any(b"ready to accept connections" in line for line in server.stdout)
                yield f"postgresql+psycopg://har@127.0.0.1:{port}/postgres"
            finally:
                # A fast shutdown: the polite one waits for MLflow's pool of connections.
                server.send_signal(signal.SIGINT)
                server.communicate(timeout=30)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def registry(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry as har.toml's tracking.uri leads to it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # so that it is taken back
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    use_tracking(database)
    assert os.environ["MLFLOW_TRACKING_URI"] == database
    return Registry(tmp_path / "mlruns", "wrist")


@pytest.mark.timeout(120)
def test_versions_and_champions_live_in_the_database(registry: Registry, register) -> None:
    with pytest.raises(NoChampionError):
        registry.champion()
    assert [register(0), register(1)] == [1, 2]
    registry.promote(1, reason="the first", who="test")
    registry.promote(2, reason="better", who="test", by_gate=True)
    # As another machine sees it, which shares the database and the folder.
    elsewhere = Registry(registry.folder, "wrist")
    assert elsewhere.champion().number == 2
    assert elsewhere.model_path(2).read_bytes() == registry.model_path(2).read_bytes()
    elsewhere.rollback(reason="worse after all", who="test")
    assert registry.champion().number == 1
    assert not list(registry.folder.glob("*.db"))
