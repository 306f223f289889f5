"""The place where the online service runs, with the real HAProxy and replicas that are small servers.

A replica answers as the service does where the keeper and the proxy look, and behaves as a file per version says.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from serving_support import write_settings

from har.errors import ServerError
from har.settings import Settings, load_settings
from infra.local.child import Child, descendants
from infra.local.server import bound
from infra.local.third_party import installed
from infra.serving.fleet import Launch, Member
from infra.serving.keeper import Keeper
from infra.serving.processes import Processes
from infra.serving.state import Place

NAME = "test-project-online"

REPLICA = """
import asyncio, json, pathlib, signal, socket, sys, time
tag, port, orders, who = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4]
def order(name, otherwise=None):
    for path in (orders / f"{tag.partition(':')[2]}.{who}", orders / tag.partition(":")[2]):
        if path.exists():
            return json.loads(path.read_text()).get(name, otherwise)
    return otherwise
if order("start") == "crash":
    sys.exit(3)
time.sleep(order("start_s", 0.0))
ending = asyncio.Event()
async def answer(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            method, path = head.split(b" ")[:2]
            fields = {}
            for line in head.decode("latin-1").split("\\r\\n")[1:]:
                key, _, value = line.partition(":")
                fields[key.lower()] = value.strip()
            await reader.readexactly(int(fields.get("content-length", 0)))
            status = 200
            if path == b"/model":
                body = {"version": 1, "window": {"samples": 16}, "channels": list("abcdef")}
            elif path == b"/readyz":
                status, body = (503 if order("unready") else 200), {}
            else:
                await asyncio.sleep(order("slow_s", 0.0))
                status = order("status", 200)
                if order("close"):
                    writer.close()
                    return
                body = {"tag": tag, "who": who, "id": fields.get("x-request-id"), "path": path.decode(),
                        "forwarded": fields.get("x-forwarded-for")}
            text = json.dumps(body).encode()
            end = "close" if ending.is_set() else "keep-alive"
            writer.write(f"HTTP/1.1 {status} X\\r\\nconnection: {end}\\r\\ncontent-length: {len(text)}\\r\\n"
                         f"content-type: application/json\\r\\n\\r\\n".encode() + text)
            await writer.drain()
            if ending.is_set():
                writer.close()
                return
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    server = await asyncio.start_server(answer, sock=listener, backlog=512)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    await ending.wait()
    await asyncio.sleep(0.3)
    server.close()
asyncio.run(main())
"""


@dataclass
class Trial:
    """A place that runs, and what was said about it."""

    settings: Settings
    keeper: Keeper
    serving: Processes
    orders: Path
    said: list[str] = field(default_factory=list)

    @property
    def place(self) -> Place:
        """Its files."""
        return self.serving.place

    @property
    def port(self) -> int:
        """Of the proxy."""
        return int(self.keeper.address.rpartition(":")[2])

    def order(self, version: str, who: str = "", **orders: Any) -> None:
        """How a version, or one replica of it such as "blue-s1", behaves from now on."""
        path = self.orders / (f"{version}.{who}" if who else version)
        draft = path.with_name(f".{path.name}")
        draft.write_text(json.dumps(orders))
        draft.replace(path)

    def package(self, version: str) -> str:
        """Let `latest` mean a new version; returns its tag."""
        add_bento(self.settings, version)
        return f"{NAME}:{version}"

    def until(self, reached: Callable[[], Any], within_s: float = 30.0) -> Any:
        """Wait for something."""
        give_up = time.monotonic() + within_s
        while not (found := reached()):
            assert time.monotonic() < give_up, f"not within {within_s:g} s: {self.said} {self.place.running()}"
            time.sleep(0.02)
        return found

    def ready(self, tag: str) -> list[str]:
        """The replicas of a version that the proxy uses."""
        try:
            servers = self.place.runtime.servers()
        except ServerError:  # it is being started
            return []
        up = {(server.backend, server.name) for server in servers if server.up}
        return [
            f"{one.backend}-{one.name}"
            for one in self.place.running().replicas
            if one.tag == tag and one.condition == "ready" and (one.backend, one.name) in up
        ]

    def pid(self, who: str) -> int:
        """The process that answers for a replica such as "blue-s1"; 0: none does."""
        (own,) = [one for one in self.place.running().replicas if f"{one.backend}-{one.name}" == who]
        return next(reversed(descendants(own.pid)), 0) if own.pid else 0


def add_bento(settings: Settings, version: str) -> None:
    """A bento in the store as far as the keeper looks at it, to which `latest` points."""
    folder = settings.path("bentoml") / "bentos" / NAME / version
    folder.mkdir(parents=True)
    (folder / "bento.yaml").write_text("")
    (folder.parent / "latest").write_text(version)


def launch(orders: Path, logs: Path) -> Launch:
    """Starts small servers in place of bentos."""
    script = orders / "replica.py"
    script.write_text(REPLICA)

    def start(member: Member) -> Child:
        who = f"{member.backend}-{member.name}"
        command = [sys.executable, "-S", str(script), member.tag, str(member.port), str(orders), who]
        return Child(who, ["infra.local.program", *command], environment=os.environ, log=logs / f"{who}.log")

    return start


@contextmanager
def kept(root: Path, *, first: str = "v1", automatic: bool = True, **serving: Any) -> Iterator[Trial]:
    """A place with a first version, whose replicas are ready."""
    program = installed("haproxy")
    if program is None:
        pytest.skip("needs HAProxy (apt-get install haproxy)")
    settings = write_settings(root, **serving)
    if not automatic:
        with (root / "har.toml").open("a") as toml:
            toml.write("\n[release]\nautomatic = false\n")
        settings = load_settings(root)
    orders = root / "orders"
    orders.mkdir()
    if first:
        add_bento(settings, first)
    said: list[str] = []
    with bound(0) as door:
        keeper = Keeper(settings, program, door, root / "logs", said.append, launch(orders, root / "logs"))
        trial = Trial(settings, keeper, Processes(settings), orders, said)
        try:
            keeper.tick()
            if first:
                tag = f"{NAME}:{first}"
                trial.until(lambda: trial.keeper.ready and len(trial.ready(tag)) == settings.serving.replicas)
            yield trial
        finally:
            keeper.stop()


class Load:
    """Steady requests of some subjects over keep-alive connections; what was answered, and what was not."""

    def __init__(
        self,
        port: int,
        *,
        clients: int = 8,
        subjects: int = 40,
        pause_s: float = 0.005,
        body: bytes = b"hi",
        path: str = "/predict/raw",
    ) -> None:
        self.port, self.clients, self.subjects, self.pause_s = port, clients, subjects, pause_s
        self.body, self.path = body, path
        self.answers: Counter[tuple[str, int]] = Counter()
        self.by_subject: dict[str, set[str]] = {}
        self.lost: Counter[str] = Counter()
        self.clients_wanted = clients
        """Clients above this number pause."""
        self.by_replica: Counter[tuple[str, int]] = Counter()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(20)

    @property
    def failed(self) -> dict[Any, int]:
        """All that is no answer of status 200."""
        return {key: count for key, count in self.answers.items() if key[1] != 200} | dict(self.lost)

    @property
    def total(self) -> int:
        """Requests with an answer."""
        return sum(self.answers.values())

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self.clients)))

    async def _client(self, number: int) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        count = number
        while not self._ending.is_set():
            count += 1
            if number >= self.clients_wanted:
                await asyncio.sleep(0.1)
                continue
            try:
                connection = connection or await asyncio.open_connection("127.0.0.1", self.port)
                if not await self._ask(*connection, f"S{count % self.subjects:02d}"):
                    await _close(connection)
                    connection = None
            except (OSError, EOFError, TimeoutError) as error:
                self.lost[type(error).__name__] += 1
                await _close(connection)
                connection = None
            await asyncio.sleep(self.pause_s)
        await _close(connection)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, subject: str) -> bool:
        """One request; whether the connection stays open."""
        lines = (
            f"POST {self.path} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/octet-stream",
            f"X-Subject: {subject}",
            f"Content-Length: {len(self.body)}",
        )
        writer.write("\r\n".join([*lines, "", ""]).encode() + self.body)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).lower()
        size = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        body = json.loads(await reader.readexactly(size))
        status = int(head[9:12])
        who = str(body.get("tag", "")).partition(":")[2] or str(body.get("model_version", "proxy"))
        self.answers[who, status] += 1
        self.by_replica[str(body.get("who", "proxy")), status] += 1
        if status == 200:
            self.by_subject.setdefault(subject, set()).add(who)
        return b"connection: close" not in head


async def _close(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
    if connection is not None:
        connection[1].close()
        with suppress(OSError):
            await connection[1].wait_closed()


def kill(pid: int) -> None:
    """As the system does when memory is short."""
    os.kill(pid, signal.SIGKILL)


def haproxy_pids(place: Place) -> list[int]:
    """HAProxy's processes of a place: the master first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name = (entry / "comm").read_text().strip()
                folder = (entry / "cwd").resolve()
            except OSError:
                continue
            if name == "haproxy" and folder == place.folder.resolve():
                found.append(int(entry.name))
    return sorted(found)


__all__ = ["Load", "Trial", "haproxy_pids", "kept", "kill"]
