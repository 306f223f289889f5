"""HAProxy as a process that is started again at once, with the rule and the servers that it had."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from har.errors import ServerError
from har.files import make_folder, write_atomically
from infra.local.child import Child
from infra.local.part import Part, Say, process_answers
from infra.serving.proxy.configuration import DECODE, DECODER, HEALTH, STATE, Options, configuration
from infra.serving.proxy.socket import Runtime

_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)


def has_lua(program: str) -> bool:
    """Whether this HAProxy can run the decoder of escapes."""
    said = subprocess.run([program, "-vv"], capture_output=True, text=True, check=False).stdout
    return "+LUA" in said.split()


class Proxy:
    """A supervised HAProxy.

    Args:
        program: its path.
        folder: its working folder; others must not read it.
        options: of its configuration, whose `bind` is set here.
        doors: sockets that clients connect to, in the order of `bind`'s further words.
        log: file for its output: a JSON line per request.
        say: gets a line when it starts or ends.
    """

    def __init__(
        self, program: str, folder: Path, options: Options, doors: Sequence[socket.socket], log: Path, say: Say
    ) -> None:
        self._program, self._folder, self._options = program, folder, options
        self._doors, self._log = doors, log
        port = doors[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.runtime = Runtime.at(Path(options.socket))
        self.part = Part(
            "HAProxy",
            self.address,
            self._start,
            lambda child: process_answers(child, port, HEALTH),
            say,
            pauses_s=_PAUSES_S,
        )

    def prepare(self) -> None:
        """Write its files, before it is started for the first time."""
        make_folder(self._folder).chmod(0o700)
        write_atomically(self._folder / DECODER, DECODE)
        # The replicas of an earlier run have ended.
        write_atomically(self._folder / STATE, "1\n")
        write_atomically(self._folder / "haproxy.cfg", configuration(self._options))

    def save(self) -> None:
        """Write the servers' state, with which it starts again."""
        with contextlib.suppress(ServerError):  # it starts again right now, with the last one
            write_atomically(self._folder / STATE, self.runtime.state())

    def _start(self) -> Child:
        Path(self._options.socket).unlink(missing_ok=True)
        return Child(
            "HAProxy",
            ["infra.local.program", self._program, "-W", "-db", "-f", "haproxy.cfg"],
            environment=os.environ,
            log=self._log,
            folder=self._folder,
            sockets=[door.fileno() for door in self._doors],
        )
