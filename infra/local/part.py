"""Parts that the local stack keeps running: started again with growing pauses when they end by themselves.

`Part` is one process on an address. `Followed` is one whose process is replaced when something names another version:
the new one is ready before the old one is asked to end, and one that does not get ready changes nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from har.errors import ServerError
from infra.local.child import GRACE_S, Child
from infra.local.server import how_it_ended

Say = Callable[[str], None]
"""Tells the person in front of the screen, and the log of the stack."""

_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0)
_STABLE_S = 60.0
"""A part that ran for this long begins again with the shortest pause."""
_START_TIMEOUT_S = 180.0
_RELEASED_S = GRACE_S + 3.0


class Kept(Protocol):
    """What the stack looks after."""

    @property
    def name(self) -> str:
        """In messages."""

    @property
    def address(self) -> str:
        """Where it answers."""

    def tick(self) -> None:
        """Look after it; to be called a few times a second."""

    def release(self) -> None:
        """Ask its processes to end, without waiting."""

    def stop(self) -> None:
        """End its processes."""


class Part:
    """A process of the stack that is started again when it ends by itself.

    Args:
        name: in messages.
        address: where it answers.
        start: starts the process.
        answers: whether this process answers requests.
        say: gets a line when the state changes.
        pauses_s: before each start after a failure; the last one is repeated.
        start_timeout_s: a process that does not answer for this long counts as failed.
    """

    def __init__(
        self,
        name: str,
        address: str,
        start: Callable[[], Child],
        answers: Callable[[Child], bool],
        say: Say,
        *,
        pauses_s: tuple[float, ...] = _PAUSES_S,
        start_timeout_s: float = _START_TIMEOUT_S,
    ) -> None:
        self.name, self.address = name, address
        self._start, self._answers, self._say = start, answers, say
        self._pauses_s, self._start_timeout_s = pauses_s, start_timeout_s
        self._child: Child | None = None
        self._ready = False
        self._began = self._not_before = 0.0
        self._failures = 0

    @property
    def ready(self) -> bool:
        """Whether it runs and has answered."""
        return self._ready

    @property
    def pid(self) -> int | None:
        """Of its process; None: it does not run."""
        return None if self._child is None else self._child.pid

    @property
    def family(self) -> frozenset[int]:
        """The processes that its process had started at the last tick."""
        return frozenset() if self._child is None else self._child.family

    @property
    def runs(self) -> bool:
        """Whether its process runs."""
        return self._child is not None and self._child.poll() is None

    def tick(self) -> None:
        """Look after it; to be called a few times a second. Waits for nothing longer than one answer."""
        if self._child is None:
            if time.monotonic() >= self._not_before:
                self._begin()
        elif (status := self._child.poll()) is not None:
            self._fail(how_it_ended(status))
        elif self._ready:
            if self._failures and time.monotonic() - self._began > _STABLE_S:
                self._failures = 0
        elif self._answers(self._child):
            self._child.poll()  # what it has started until now ends with it, even if it is killed
            self._ready = True
            self._say(f"{self.described} is ready: {self.address}")
        elif time.monotonic() - self._began > self._start_timeout_s:
            self._fail(f"did not answer at {self.address} within {self._start_timeout_s:g} s")

    def release(self) -> None:
        """Ask the process to end, without waiting."""
        if self._child is not None:
            self._child.release()

    def stop(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        self._ready = False

    @property
    def described(self) -> str:
        """Its name in messages."""
        return self.name

    def _begin(self) -> None:
        try:
            self._child = self._start()
        except (OSError, ServerError) as error:
            self._fail(f"did not start ({error})")
            return
        self._began = time.monotonic()

    def _fail(self, problem: str) -> None:
        log = "" if self._child is None else f" Log: {self._child.log}"
        self.stop()
        pause_s = self._pauses_s[min(self._failures, len(self._pauses_s) - 1)]
        self._failures += 1
        self._not_before = time.monotonic() + pause_s
        self._say(f"{self.described}: {problem}; it is started again in {pause_s:g} s.{log}")


class Followed(Part):
    """A part with versions; `wanted` names the one that should run.

    Args:
        name: in messages.
        address: where it answers; two processes must be able to listen there at the same time.
        start: starts a version.
        answers: whether this process, and not another one there, answers requests.
        say: gets a line when the state changes.
        wanted: the version that should run; "": none yet.
        pauses_s: see `Part`.
        start_timeout_s: see `Part`.
    """

    def __init__(
        self,
        name: str,
        address: str,
        start: Callable[[str], Child],
        answers: Callable[[Child], bool],
        say: Say,
        *,
        wanted: Callable[[], str],
        pauses_s: tuple[float, ...] = _PAUSES_S,
        start_timeout_s: float = _START_TIMEOUT_S,
    ) -> None:
        super().__init__(
            name,
            address,
            lambda: start(self._version),
            answers,
            say,
            pauses_s=pauses_s,
            start_timeout_s=start_timeout_s,
        )
        self._start_version, self.wanted = start, wanted
        self._version = self._refused = self._next_version = ""
        self._next: Child | None = None
        self._next_began = 0.0
        self._leaving: list[tuple[Child, float]] = []

    @property
    def version(self) -> str:
        """The version that runs, or that is started; "": none yet."""
        return self._version

    @property
    def described(self) -> str:
        """Its name and version in messages."""
        return f"{self.name} {self._version}".rstrip()

    def tick(self) -> None:
        """Look after its processes, and replace the running one if another version is wanted."""
        self._see_off()
        wanted = self.wanted()
        if wanted == self._version:
            self._give_up_next()  # taken back meanwhile
            self._refused = ""
        elif wanted and wanted not in (self._refused, self._next_version):
            self._turn_to(wanted)
        if self._next is not None:
            self._follow(self._next)
        if self._version:
            super().tick()

    def stop(self) -> None:
        """End all its processes."""
        for child, _ in self._leaving:
            child.stop()
        self._leaving = []
        self._give_up_next()
        super().stop()

    def _give_up_next(self) -> None:
        if self._next is not None:
            self._next.stop()
        self._next, self._next_version = None, ""

    def _turn_to(self, version: str) -> None:
        self._give_up_next()
        if self._ready:
            try:
                self._next = self._start_version(version)
            except (OSError, ServerError) as error:
                self._refuse(version, f"did not start ({error})")
                return
            self._next_version, self._next_began = version, time.monotonic()
        else:
            super().stop()
            self._version, self._refused = version, ""
            self._failures, self._not_before = 0, 0.0

    def _follow(self, child: Child) -> None:
        """Let the next process take over once it is ready, or give it up."""
        status = child.poll()
        waited_s = time.monotonic() - self._next_began
        if status is None and self._answers(child):
            if self._child is not None:
                self._child.release()
                self._leaving.append((self._child, time.monotonic()))
            child.poll()  # as above
            before, self._version = self._version, self._next_version
            self._child, self._ready, self._began, self._failures = child, True, self._next_began, 0
            self._next, self._next_version, self._refused = None, "", ""
            self._say(f"{self.described} serves in place of {before}: {self.address}")
        elif status is not None or waited_s > self._start_timeout_s:
            problem = how_it_ended(status) if status is not None else f"was not ready within {waited_s:.0f} s"
            self._refuse(self._next_version, problem, f" Log: {child.log}")
            self._give_up_next()

    def _refuse(self, version: str, problem: str, log: str = "") -> None:
        self._refused = version
        self._say(
            f"{self.name} {version}: {problem}; {self._version} goes on serving until another version is packaged.{log}"
        )

    def _see_off(self) -> None:
        for entry in [*self._leaving]:
            child, since = entry
            if child.poll() is not None or time.monotonic() - since > _RELEASED_S:
                child.stop()
                self._leaving.remove(entry)


def tell_once(say: Say) -> Say:
    """`say` for lines that are the same again and again: each is said once in a row."""
    last = ""

    def told(line: str) -> None:
        nonlocal last
        if line != last:
            last = line
            say(line)

    return told


def process_answers(child: Child, port: int, path: str) -> bool:
    """Whether this very process, or one that it started, answers 200 at `path` on `port`.

    Two services may listen on one port while one replaces the other, and an answer does not tell whose it is; the
    connection does.
    """
    import httpx
    import psutil

    from infra.local.child import descendants
    from infra.local.server import HOST

    with (
        contextlib.suppress(httpx.HTTPError),
        httpx.Client(timeout=2, trust_env=False) as client,
        client.stream("GET", f"http://{HOST}:{port}{path}") as answer,
    ):
        own = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
        if answer.status_code != 200:
            return False
        for pid in (child.pid, *descendants(child.pid)):
            with contextlib.suppress(psutil.Error):
                for connection in psutil.Process(pid).net_connections("tcp"):
                    if connection.raddr and connection.laddr.port == port and connection.raddr.port == own:
                        return True
    return False
