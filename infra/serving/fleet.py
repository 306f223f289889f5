"""The replicas of one backend: started, kept, drained and replaced, without a failed request."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal

import psutil

from infra.local.child import Child, descendants
from infra.local.part import Part, Say, process_answers
from infra.local.ports import Ports, held
from infra.serving.ejection import FORGIVEN_S, pause_s
from infra.serving.proxy import Backend
from infra.serving.proxy.socket import Mode
from infra.serving.state import Condition

Kind = Literal["stable", "canary"]
"""What a replica was started as: the canary's ones answer with a second model beside them."""

READY = "/readyz"
_DRAIN_S = 30.0
"""A replica that still has requests after this long ends all the same."""
_SETTLED_S = 0.3
_ENDED_S = 15.0
_RESTARTED_AFTER = 3
"""A replica that is ejected so often in a row gets a new process."""


@dataclass
class Member:
    """A replica in its slot.

    Attributes:
        name: of the slot.
        backend: that it belongs to.
        tag: of its bento.
        kind: what it was started as.
        port: where it listens.
        starts: how many processes were started.
        ejections: in a row.
        ejected_until: monotonic time until when it gets no requests; 0: it is not ejected.
        leaving_since: monotonic time when it began to drain; 0: it stays.
        released: its process was asked to end.
    """

    name: str
    backend: Backend
    tag: str
    kind: Kind
    port: int = 0
    starts: int = 0
    ejections: int = 0
    ejected_until: float = 0.0
    readmitted_at: float = 0.0
    leaving_since: float = 0.0
    released: bool = False
    memory_mb: float = 0.0
    part: Part = field(init=False)
    resources: ExitStack = field(default_factory=ExitStack)

    @property
    def ready(self) -> bool:
        """Whether it may get requests."""
        return self.part.ready and not self.ejected_until and not self.leaving_since

    @property
    def condition(self) -> Condition:
        """For `replicas.json`."""
        if self.leaving_since:
            return "leaving"
        if not self.part.ready:
            return "starting" if self.part.pid else "down"
        return "ejected" if self.ejected_until else "ready"

    @property
    def mode(self) -> Mode:
        """What its slot should be."""
        if self.ready:
            return "ready"
        return "drain" if self.leaving_since and self.part.ready and not self.released else "maint"

    def eject(self) -> float:
        """Take it out of the requests; returns for how long."""
        now = time.monotonic()
        self.ejections = self.ejections + 1 if now - self.readmitted_at < FORGIVEN_S else 1
        seconds = pause_s(self.ejections)
        self.ejected_until = now + seconds
        return seconds

    @property
    def is_hopeless(self) -> bool:
        """Whether a new process should take its place."""
        return self.ejections >= _RESTARTED_AFTER and bool(self.ejected_until)

    def leave(self) -> None:
        """Let it finish its requests, and end."""
        self.leaving_since = time.monotonic()

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def readmit(self) -> None:
        """Let it get requests again."""
        self.ejected_until, self.readmitted_at = 0.0, time.monotonic()

    def weigh(self) -> None:
        """Measure the memory of its processes."""
        if self.part.pid is None:
            self.memory_mb = 0.0
            return
        total = 0
        for pid in (self.part.pid, *descendants(self.part.pid)):
            with contextlib.suppress(psutil.Error):
                total += psutil.Process(pid).memory_info().rss
        self.memory_mb = round(total / 1e6, 1)


Launch = Callable[[Member], Child]
"""Starts a replica's process, which listens on its port."""


class Fleet:
    """All replicas of a backend.

    Args:
        backend: its name.
        slots: how many it has in the proxy.
        launch: starts a process.
        say: gets a line when something changes.
    """

    def __init__(self, backend: Backend, slots: int, launch: Launch, say: Say) -> None:
        self.backend = backend
        self.members: list[Member] = []
        self.restarts: Counter[str] = Counter()
        """By tag: processes that were started because another one had ended by itself, or failed."""
        self._slots, self._launch, self._say = slots, launch, say

    def tick(self, tag: str, kind: Kind, count: int, in_flight: Callable[[Member], int]) -> None:
        """Bring the replicas closer to what is wanted; waits for nothing longer than one answer.

        Args:
            tag: of the wanted bento; "": none.
            kind: what new replicas are started as; others are replaced one by one.
            count: how many replicas.
            in_flight: requests that a replica has at this moment.
        """
        self._look_after()
        right = [member for member in self.members if tag and member.tag == tag]
        right = [member for member in right if not member.leaving_since and not member.is_hopeless]
        self._dismiss([member for member in self.members if member not in right])
        self._turn(right, tag, kind, count if tag else 0)
        self._see_off(in_flight)

    def release(self) -> None:
        """Ask all processes to end, without waiting."""
        for member in self.members:
            member.part.release()

    def stop(self) -> None:
        """End all processes."""
        for member in self.members:
            member.part.stop()
            member.resources.close()
        self.members = []

    def _look_after(self) -> None:
        for member in self.members:
            if not member.released:
                before = member.part.family if member.part.ready else frozenset()
                member.part.tick()
                if before and member.part.ready and not before & member.part.family:
                    self._end_hollow(member)

    def _dismiss(self, wrong: list[Member]) -> None:
        """Let those go that are of another version, and those that fail again and again."""
        for member in wrong:
            if not member.leaving_since:
                self.restarts[member.tag] += member.is_hopeless
                member.leave()

    def _turn(self, right: list[Member], tag: str, kind: Kind, count: int) -> None:
        """Add replicas, replace those of another kind, and let go of those that are too many."""
        wanted = [member for member in right if member.kind == kind]
        older = [member for member in right if member.kind != kind]
        # A replacement comes first, so that there are never fewer than before; one at a time, as it takes memory.
        missing = count - len(wanted)
        starting = any(not member.part.ready for member in wanted)
        for _ in range(missing if not older else min(missing, 0 if starting else 1)):
            self._begin(tag, kind)
        ready = [member for member in right if member.ready]
        for member in [*older, *sorted(wanted, key=_worth)][: max(0, len(right) - count)]:
            if not member.ready:
                if member in older or len(wanted) > count:
                    member.leave()
            elif len(ready) > count:
                ready.remove(member)
                member.leave()

    def _end_hollow(self, member: Member) -> None:
        """End a replica whose workers have all ended.

        Its supervisor holds the port, so that requests would wait there until it has started another worker.
        """
        if member.part.pid is not None:
            self._say(f"{member.part.name}: no worker is left.")
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.part.pid, signal.SIGKILL)

    def _begin(self, tag: str, kind: Kind) -> None:
        taken = {member.name for member in self.members}
        name = next((one for one in _names(self._slots) if one not in taken), None)
        if name is None:  # those that leave hold them all; it is tried again
            return
        member = Member(name, self.backend, tag, kind)
        member.port = member.resources.enter_context(held("online", Ports(online=0)))

        def start() -> Child:
            member.starts += 1
            self.restarts[tag] += member.starts > 1
            return self._launch(member)

        title = f"online service {tag.partition(':')[2] or tag} ({self.backend} {name})"
        member.part = Part(
            title, member.address, start, lambda child: process_answers(child, member.port, READY), self._say
        )
        self.members.append(member)
        member.part.tick()

    def _see_off(self, in_flight: Callable[[Member], int]) -> None:
        """End the processes of those that leave once they have no requests."""
        now = time.monotonic()
        for member in [one for one in self.members if one.leaving_since]:
            waited_s = now - member.leaving_since
            if not member.released:
                if member.part.ready and waited_s < _DRAIN_S and (waited_s < _SETTLED_S or in_flight(member)):
                    continue
                member.released, member.leaving_since = True, now
                member.part.release()
            elif not member.part.runs or waited_s > _ENDED_S:
                member.part.stop()
                member.resources.close()
                self.members.remove(member)


def _names(slots: int) -> Iterator[str]:
    return (f"s{number}" for number in range(1, slots + 1))


def _worth(member: Member) -> tuple[bool, bool, int]:
    """Which replicas go first: those that do not answer, then those that were ejected, then the newest."""
    return member.part.ready, not member.ejected_until, -int(member.name[1:])
