"""Keeps the online service running: the proxy, and the replicas of each version that `serving.json` wants.

It runs in a thread of `make up` or of the site. It starts, drains and replaces replicas, tells the proxy which ones
there are, takes failing ones out and back in, adds some under load, and writes `replicas.json`. What it does it can do
again: a restarted proxy, or a change by another process, is only a difference between what is wanted and what is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from har.errors import HarError, ServerError
from har.settings import Settings
from infra.local.part import Say
from infra.serving.busyness import Busyness
from infra.serving.fleet import Fleet, Launch, Member
from infra.serving.following import Following
from infra.serving.processes import SLOTS
from infra.serving.proxy import BACKENDS, Options, Rules, Server, guarded, tls_bind
from infra.serving.proxy.certificates import require_certificate
from infra.serving.proxy.process import Proxy, has_lua
from infra.serving.state import Place, Replica, Running, Wanted
from infra.serving.watch import Stats, Watch

Targets = Callable[[Sequence[tuple[str, Mapping[str, str]]]], object]
"""Gets `host:port` and labels of each replica that answers, for Prometheus."""

_POLL_S = 0.2
_WEIGH_S, _NOTE_S, _SAVE_S, _RULE_S = 2.0, 2.0, 5.0, 1.0
_ORDER = {"ready": 0, "drain": 1, "maint": 2}


class Keeper:
    """The place of one project; a part of the stack.

    Args:
        settings: of the project.
        program: path of HAProxy.
        door: the socket that clients connect to.
        logs: folder for the logs.
        say: gets a line when something changes.
        launch: starts a replica.
        targets: gets the replicas for Prometheus.
    """

    name = "online service"

    def __init__(
        self,
        settings: Settings,
        program: str,
        door: socket.socket,
        logs: Path,
        say: Say,
        launch: Launch,
        *,
        targets: Targets = lambda _: None,
    ) -> None:
        serving = settings.serving
        self._say, self._targets = say, targets
        self._replicas = serving.replicas
        self.place = Place(settings)
        options = Options(
            bind=[f"fd@{door.fileno()}"],
            socket=str(self.place.prepare_socket()),
            concurrency=serving.max_concurrency * serving.workers,
            timeout_s=serving.timeout_s,
            slots=SLOTS,
            lua=has_lua(program),
        )
        if serving.tls:
            options = replace(options, bind=[*options.bind, tls_bind(serving.tls, require_certificate(settings))])
        options = guarded(options, Rules.of(settings), tls=bool(serving.tls))
        self._proxy = Proxy(program, self.place.folder, options, [door], logs / "haproxy.log", say)
        self.address = self._proxy.address
        self._fleets = {backend: Fleet(backend, SLOTS, launch, say) for backend in BACKENDS}
        self._following = Following(settings, self.place, say)
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="keeper")
        self._watch = Watch(self._executor, say)
        self._busyness = Busyness(self._executor, say, most=serving.replicas_max)
        self._due: dict[str, float] = {}
        self._noted: tuple[int, tuple[Replica, ...]] | None = None
        self._targeted: list[tuple[str, Mapping[str, str]]] | None = None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def members(self) -> list[Member]:
        """All replicas."""
        return [member for fleet in self._fleets.values() for member in fleet.members]

    @property
    def ready(self) -> bool:
        """Whether a request would be answered."""
        return self._proxy.part.ready and any(member.ready for member in self.members)

    def wanted(self) -> str:
        """What serves, or is about to; "": nothing is packaged yet."""
        return self.place.wanted().stable or self._following.latest()

    def tick(self) -> None:
        """Make sure that the keeper's thread runs; it does all work."""
        if self._thread is None:
            self._proxy.prepare()
            self.place.split().write(self.place.map)
            self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
            self._thread.start()

    def release(self) -> None:
        """Ask all processes to end, without waiting."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        for fleet in self._fleets.values():
            fleet.release()
        self._proxy.part.release()

    def stop(self) -> None:
        """End all processes."""
        self.release()
        self._proxy.part.stop()
        for fleet in self._fleets.values():
            fleet.stop()
        self._executor.shutdown(cancel_futures=True)
        if self._thread is not None:
            self.place.note(Running(self.address))

    def _run(self) -> None:
        while not self._ending.wait(_POLL_S):
            try:
                self._step()
            except HarError as error:
                self._say(f"online service: {error}")
            except Exception:  # noqa: BLE001 - nobody else would look after the replicas
                self._say(f"online service: {traceback.format_exc()}")

    def _step(self) -> None:
        self._proxy.part.tick()
        wanted = self.place.wanted()
        least = wanted.replicas or self._replicas
        count = self._busyness.wanted(least)
        self._following.tick(self._fleets, count)
        wanted = self.place.wanted()
        servers, stats = self._look()
        for backend, fleet in self._fleets.items():
            kind = self._following.kind(wanted, fleet)
            fleet.tick(wanted.tag(backend), kind, count, lambda member: _in_flight(stats, member))
        if servers:
            self._watch.look(self._fleets.values(), servers, stats)
            self._tell(servers)
            if self._is_due("rule", _RULE_S):
                self._busyness.look(self._fleets[wanted.backend], stats)
        if self._is_due("weigh", _WEIGH_S):
            for member in self.members:
                member.weigh()
        self._note(wanted)
        self._end_mirror()

    def _look(self) -> tuple[list[Server], Stats]:
        """What the proxy knows; nothing while it does not run."""
        try:
            return self._proxy.runtime.servers(), self._proxy.runtime.stats()
        except ServerError:
            return [], {}

    def _tell(self, servers: list[Server]) -> None:
        """Let the proxy know which replicas there are, and which rule holds."""
        members = {(str(member.backend), member.name): member for member in self.members}
        runtime, changed = self._proxy.runtime, False

        def wanted(server: Server) -> str:
            member = members.get((server.backend, server.name))
            return "maint" if member is None else member.mode

        # First those that begin, so that there is always one that is usable.
        for server in sorted(servers, key=lambda one: _ORDER[wanted(one)]):
            member = members.get((server.backend, server.name))
            mode = "maint" if member is None else member.mode
            if member is not None and mode != "maint" and server.port != member.port:
                runtime.mode(server.backend, server.name, "maint")
                runtime.point(server.backend, server.name, member.port)
                runtime.mode(server.backend, server.name, mode)
                changed = True
            elif server.mode != mode:
                runtime.mode(server.backend, server.name, mode)
                changed = True
        split = self.place.split()
        if runtime.held_split() != split.value:
            runtime.split(split)
        if self._is_due("save", _SAVE_S) or changed:
            self._proxy.save()

    def _end_mirror(self) -> None:
        """Copies end with the lease, whoever has died."""
        if self.place.mirrored().until < time.time():
            self.place.mirror.unlink(missing_ok=True)

    def _note(self, wanted: Wanted) -> None:
        replicas = tuple(
            Replica(
                name=member.name,
                backend=member.backend,
                role=wanted.role(member.backend),
                tag=member.tag,
                condition=member.condition,
                port=member.port,
                pid=member.part.pid or 0,
                starts=member.starts,
                memory_mb=member.memory_mb,
            )
            for member in self.members
        )
        if self._is_due("note", _NOTE_S) or (wanted.changes, replicas) != self._noted:
            restarts = {tag: n for fleet in self._fleets.values() for tag, n in fleet.restarts.items()}
            self.place.note(Running(self.address, os.getpid(), time.time(), wanted.changes, restarts, replicas))
            self._noted = (wanted.changes, replicas)
        targets: list[tuple[str, Mapping[str, str]]] = [
            (f"127.0.0.1:{replica.port}", {"backend": replica.backend, "replica": replica.name})
            for replica in replicas
            if replica.condition in ("ready", "ejected", "leaving")
        ]
        if targets != self._targeted:
            with contextlib.suppress(HarError):  # a full disk; serving goes on
                self._targets(targets)
            self._targeted = targets

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every_s
        return True


def _in_flight(stats: Stats, member: Member) -> int:
    row = stats.get((member.backend, member.name), {})
    return int(row.get("scur") or 0) + int(row.get("qcur") or 0)
