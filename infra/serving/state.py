"""What the place is told to serve and what it runs: `serving.json` and `replicas.json` in the project's store.

`serving.json` is written by whoever releases or scales, under a lock, and `replicas.json` by the keeper alone. Any
process of the project reads them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from har.errors import ReleaseError
from har.files import locked, write_atomically
from har.release import Role
from har.settings import Settings
from infra.serving.proxy import BACKENDS, Backend, Runtime, Split, other
from infra.serving.proxy.configuration import MAP

Condition = Literal["starting", "ready", "ejected", "leaving", "down"]
"""Of a replica: not ready yet; gets requests; gets none after too many failures; finishes its own; has ended and is
started again."""

_BUSY_S = 5.0
_STALE_S = 15.0
_LONGEST_PATH = 90
"""A Unix socket's path has 107 characters at most, and HAProxy needs some of them while it starts."""


@dataclass(frozen=True)
class Wanted:
    """What should be served; `serving.json`.

    Attributes:
        stable: tag of the bento that serves; "" before the first.
        canary: tag of the version that is being released, or "".
        former: tag of the version that served before and stays ready, or "".
        backend: which one holds the stable version; the other one has the canary or the former version.
        salt: of the release.
        replicas: of each version; 0: as `serving.replicas` says.
        former_until: when the former version ends if nobody ends it before, in seconds since 1970.
        followed: the tag that `latest` meant when it was followed last.
        changes: how often it was written.
    """

    stable: str = ""
    canary: str = ""
    former: str = ""
    backend: Backend = "blue"
    salt: str = ""
    replicas: int = 0
    former_until: float = 0.0
    followed: str = ""
    changes: int = 0

    @property
    def beside(self) -> Backend:
        """The backend of the canary, or of the former version."""
        return other(self.backend)

    def tag(self, backend: Backend) -> str:
        """What a backend's replicas are made of; "": it has none."""
        return self.stable if backend == self.backend else self.canary or self.former

    def role(self, backend: Backend) -> Role | Literal["former"]:
        """What a backend is for."""
        return "stable" if backend == self.backend else "canary" if self.canary else "former"

    def tags(self) -> dict[Backend, str]:
        """The tag of each backend that has one."""
        return {backend: self.tag(backend) for backend in BACKENDS if self.tag(backend)}


@dataclass(frozen=True)
class Replica:
    """A replica that runs, or is started; an entry of `replicas.json`.

    Attributes:
        name: of its slot, such as "s1".
        backend: that it belongs to.
        role: "stable", "canary" or "former".
        tag: of its bento.
        condition: see `Condition`.
        port: where it answers.
        pid: of its process; 0: none.
        starts: how many processes were started for it.
        memory_mb: resident memory of its processes, MB.
    """

    name: str
    backend: Backend
    role: str
    tag: str
    condition: Condition
    port: int
    pid: int
    starts: int
    memory_mb: float

    @property
    def ready(self) -> bool:
        """Whether it gets requests."""
        return self.condition == "ready"

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Running:
    """What runs; `replicas.json`.

    Attributes:
        address: of the proxy.
        keeper: process id of the keeper; 0: none has run yet.
        at: when it was written, in seconds since 1970.
        changes: of the `Wanted` that the keeper has seen.
        restarts: how often replicas of each tag were started again since the keeper began.
        replicas: of all versions.
    """

    address: str = ""
    keeper: int = 0
    at: float = 0.0
    changes: int = 0
    restarts: Mapping[str, int] = field(default_factory=dict)
    replicas: tuple[Replica, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Whether a keeper looks after it at this moment."""
        return time.time() - self.at < _STALE_S and bool(self.keeper) and psutil.pid_exists(self.keeper)


@dataclass(frozen=True)
class Mirrored:
    """Where the stable replicas send copies of requests; `mirror.json`, which `bentos.online` reads.

    Attributes:
        address: of a replica of the canary.
        share: of the requests, 0 to 1.
        until: when the keeper ends it unless it is renewed, in seconds since 1970.
    """

    address: str = ""
    share: float = 0.0
    until: float = 0.0


class Place:
    """The files of a project's place; nothing is read or written before it is asked for.

    Args:
        settings: of the project.
    """

    def __init__(self, settings: Settings) -> None:
        self.store = settings.path("bentoml")
        self.folder = self.store / "proxy"
        """The proxy's working folder."""
        self._wanted, self._running = self.store / "serving.json", self.store / "replicas.json"

    @property
    def socket(self) -> Path:
        """The proxy's runtime socket; where the project's path is too long for one, in a private folder of /tmp."""
        path = self.folder / "proxy.sock"
        if len(os.fsencode(path)) <= _LONGEST_PATH:
            return path
        pointer = self.folder / "socket"
        try:
            return Path(pointer.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return path

    def prepare_socket(self) -> Path:
        """The path to listen on, which `socket` gives from now on."""
        if self.socket == self.folder / "proxy.sock" and len(os.fsencode(self.socket)) > _LONGEST_PATH:
            private = Path(tempfile.mkdtemp(prefix="har-proxy-", dir="/tmp"))
            write_atomically(self.folder / "socket", str(private / "proxy.sock"))
        self.socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.socket

    @property
    def runtime(self) -> Runtime:
        """The running proxy."""
        return Runtime.at(self.socket)

    @property
    def map(self) -> Path:
        """The rule that a restarted proxy starts with."""
        return self.folder / MAP

    @property
    def mirror(self) -> Path:
        """Which share of the requests the stable replicas copy to the canary, and where to."""
        return self.folder / "mirror.json"

    def mirrored(self) -> Mirrored:
        """Where copies of requests go."""
        return Mirrored(**_known(Mirrored, _read(self.mirror)))

    def split(self) -> Split:
        """The rule in force."""
        return Split.read(self.map)

    def wanted(self) -> Wanted:
        """What should be served."""
        return Wanted(**_known(Wanted, _read(self._wanted)))

    def running(self) -> Running:
        """What runs."""
        content = _read(self._running)
        replicas = tuple(Replica(**_known(Replica, entry)) for entry in content.pop("replicas", []))
        return Running(**_known(Running, content), replicas=replicas)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Change]:
        """Change what should be served: read it and write it in the block, with nobody else in between.

        Raises:
            ReleaseError: another process changes it and does not end.
        """
        busy = ReleaseError(
            where=str(self._wanted),
            problem=f"another process changes it, for longer than {_BUSY_S:g} s",
            remedy="Try again.",
        )
        with locked(self.store / "serving.lock", timeout_s=_BUSY_S, busy=busy):
            yield Change(self._wanted, self.wanted())

    def copy(self, mirrored: Mirrored) -> None:
        """Let copies of requests go to a replica."""
        write_atomically(self.mirror, json.dumps(dataclasses.asdict(mirrored)))

    def note(self, running: Running) -> None:
        """Write what runs; for the keeper."""
        write_atomically(self._running, json.dumps(dataclasses.asdict(running), indent=1) + "\n")


@dataclass
class Change:
    """`serving.json` while its lock is held."""

    path: Path
    wanted: Wanted

    def write(self, **changes: Any) -> Wanted:
        """Write it with other values."""
        self.wanted = dataclasses.replace(self.wanted, **changes, changes=self.wanted.changes + 1)
        write_atomically(self.path, json.dumps(dataclasses.asdict(self.wanted), indent=1) + "\n")
        return self.wanted


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ReleaseError(
            where=str(path),
            expected="a file that this program wrote",
            got=str(error),
            remedy="Delete it: the version that `latest` means is served then.",
        ) from error
    return content


def _known(kind: type, content: dict[str, Any]) -> dict[str, Any]:
    """What this version of the program knows; another one may have written more."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in content.items() if name in names}
