"""A real Postgres server for tests."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports_support import free_port


def _server_program(name: str) -> str | None:
    """The program of a Postgres server; Debian keeps it off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


class Postgres:
    """A server of our own on a free port, in a folder that is deleted with it.

    Attributes:
        address: of the database `postgres`, as SQLAlchemy takes it with psycopg.
    """

    def __init__(self) -> None:
        initdb, program = _server_program("initdb"), _server_program("postgres")
        if initdb is None or program is None:
            pytest.skip("needs Postgres (apt-get install postgresql)")
        # It refuses to run as root, and pytest's folders are closed to other users.
        self._user = "postgres" if os.getuid() == 0 else getpass.getuser()
        port = free_port()
        self.address = f"postgresql+psycopg://har@127.0.0.1:{port}/postgres"
        self.folder = Path(tempfile.mkdtemp(prefix="har-postgres-"))
        shutil.chown(self.folder, self._user)
        data = str(self.folder / "data")
        self._command = [program, "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", str(self.folder), "-F"]
        self._server: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [initdb, "--pgdata", data, "--username=har", "--auth=trust", "--no-sync"],
            user=self._user,
            cwd=self.folder,
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        log = self.folder / "log"
        with log.open("ab") as output:
            position = output.tell()
            self._server = subprocess.Popen(
                self._command, user=self._user, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 60
        while b"ready to accept connections" not in log.read_bytes()[position:]:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it; a fast shutdown, for the polite one waits for pools of connections."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(30)
            self._server = None


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running server."""
    made = Postgres()
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(made.folder)
