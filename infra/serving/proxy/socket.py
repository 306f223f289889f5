"""HAProxy's runtime socket: the split, the servers of each backend, and what it counts."""

from __future__ import annotations

import csv
import io
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from har.errors import ServerError
from infra.serving.proxy.configuration import MAP
from infra.serving.proxy.split import KEY, Split

Mode = Literal["ready", "drain", "maint"]
"""Of a server: gets requests; finishes those that it has; gets none, and those that wait for it go elsewhere."""

_TIMEOUT_S = 1.0
_LONGEST_ADDRESS = 107
"""Characters that a Unix socket's address can have."""
_FORCED_MAINTENANCE, _FORCED_DRAIN = 0x01, 0x08
_UP = 2


@dataclass(frozen=True)
class Server:
    """A slot of a backend.

    Attributes:
        backend: its name.
        name: of the slot.
        port: where the replica listens.
        mode: what was asked for.
        up: whether it gets requests: asked for, and its health check passes.
    """

    backend: str
    name: str
    port: int
    mode: Mode
    up: bool


class Runtime:
    """Commands to a running HAProxy.

    Args:
        ask: sends one command and returns the answer; raises OSError if nothing answers.
    """

    def __init__(self, ask: Callable[[str], str]) -> None:
        self._ask = ask

    @classmethod
    def at(cls, path: Path) -> Runtime:
        """The proxy that listens on a Unix socket of this machine."""
        return cls(lambda command: _over_socket(path, command))

    def split(self, split: Split) -> None:
        """Let a rule hold at once, for the next request of every connection.

        Raises:
            ServerError: the proxy does not answer, or refuses.
        """
        self._do(f"set map {MAP} {KEY} {split.value}")

    def held_split(self) -> str:
        """The rule in force, as `Split.value` writes it; "" if there is none.

        Raises:
            ServerError: as above.
        """
        answer = self._said(f"get map {MAP} {KEY}")
        _, found, rest = answer.partition('value="')
        return rest.partition('"')[0] if found else ""

    def point(self, backend: str, server: str, port: int) -> None:
        """Let a slot mean the replica on a port of this machine.

        Raises:
            ServerError: as above.
        """
        answer = self._said(f"set server {backend}/{server} addr 127.0.0.1 port {port}")
        if "changed" not in answer and "no need to change" not in answer:
            raise _refused(answer)

    def mode(self, backend: str, server: str, mode: Mode) -> None:
        """Let a slot get requests, finish its own, or get none.

        Raises:
            ServerError: as above.
        """
        self._do(f"set server {backend}/{server} state {mode}")

    def servers(self) -> list[Server]:
        """All slots of all backends.

        Raises:
            ServerError: the proxy does not answer.
        """
        return parse_servers(self.state())

    def state(self) -> str:
        """The content of a state file, from which a restarted proxy takes ports and modes.

        Raises:
            ServerError: the proxy does not answer.
        """
        return self._said("show servers state") + "\n"

    def stats(self) -> dict[tuple[str, str], Mapping[str, str]]:
        """What it counts, by the name of the proxy or backend and of the server, "FRONTEND" or "BACKEND".

        Raises:
            ServerError: the proxy does not answer.
        """
        rows = csv.DictReader(io.StringIO(self._said("show stat").lstrip("# ")))
        return {(row["pxname"], row["svname"]): row for row in rows}

    def refusals(self) -> dict[str, int]:
        """How many requests each backend's replicas refused because they had no room (429, 503).

        Raises:
            ServerError: the proxy does not answer.
        """
        counted = {}
        for line in self._said("show table refusals").splitlines():
            fields = dict(part.partition("=")[::2] for part in line.split() if "=" in part)
            if "key" in fields:
                counted[fields["key"]] = int(fields.get("gpc0", 0))
        return counted

    def _do(self, command: str) -> None:
        """A command that says nothing when it succeeds."""
        answer = self._said(command)
        if answer:
            raise _refused(answer)

    def _said(self, command: str) -> str:
        try:
            return self._ask(command).strip()
        except OSError as error:
            raise ServerError(
                where="HAProxy",
                problem=f"does not answer on its socket ({error.strerror or error})",
                remedy="Start it: make up, or python -m infra.delivery.online.site.",
            ) from error


def parse_servers(state: str) -> list[Server]:
    """The slots in the content of a state file."""
    lines = [line.lstrip("# ") for line in state.splitlines()[1:]]
    found = []
    for row in csv.DictReader(lines, delimiter=" "):
        flags = int(row["srv_admin_state"])
        mode: Mode = "maint" if flags & _FORCED_MAINTENANCE else "drain" if flags & _FORCED_DRAIN else "ready"
        up = mode == "ready" and int(row["srv_op_state"]) == _UP
        found.append(Server(row["be_name"], row["srv_name"], int(row["srv_port"]), mode, up))
    return found


def _over_socket(path: Path, command: str) -> str:
    with ExitStack() as stack:
        address = str(path)
        if len(os.fsencode(path)) > _LONGEST_ADDRESS:  # its folder is named by number
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, folder)
            address = f"/proc/self/fd/{folder}/{path.name}"
        connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        connection.settimeout(_TIMEOUT_S)
        connection.connect(address)
        connection.sendall(command.encode() + b"\n")
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()


def _refused(answer: str) -> ServerError:
    return ServerError(where="HAProxy", problem=answer.splitlines()[0], remedy="See its log: haproxy.log.")
