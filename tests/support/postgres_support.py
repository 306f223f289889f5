"""A real Postgres server for tests."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _server_program(name: str) -> str | None:
    """The program of a Postgres server; Debian keeps it off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@contextmanager
def postgres() -> Iterator[str]:
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
