"""`har.release.Serving` for the stack in containers: two boxes behind the proxy, and its rule says who meets which.

The rule, the lease and what is written down are those of `infra.serving.processes`; here, a version is an image, its
replicas are a box, and the container engine starts it. It runs on the engine's machine: no container may start another.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from har.errors import ReleaseError, ServerError
from har.files import write_atomically
from har.release import Counts, Role, Served
from har.settings import Settings, load_settings
from infra.compose.engine import output
from infra.compose.proxy import StackPlace
from infra.compose.stack import FORMER_ONLINE, Stack
from infra.compose.state import HOT_STORE, State
from infra.serving.launching import SETTINGS_CODE, known_variables
from infra.serving.processes import Processes
from infra.serving.proxy import BACKENDS, Backend, Split
from infra.serving.state import Replica, Running, Wanted

_READY_S = 300.0
_POLL_S = 0.5
_ASKED_S = 1.0
_CODE = f"/home/bentoml/bento/src/src/{SETTINGS_CODE}"
_MIRROR = "/srv/mirror/mirror.json"
_DATA = "/home/bentoml/data"
"""Where a box has the volume `journal`."""


class StackServing(Processes):
    """The online boxes of a stack.

    Args:
        stack: the stack.
        settings: of its project; by default those of its folder.
    """

    def __init__(self, stack: Stack, settings: Settings | None = None) -> None:
        settings = settings or load_settings(stack.root)
        self._stack, self._stack_place = stack, StackPlace(stack.state.folder)
        super().__init__(settings, self._stack_place)
        self._asked: dict[str, tuple[int, int]] = {}
        self._asked_at = -_ASKED_S

    @property
    def name(self) -> str:
        """In messages."""
        return f"the stack {self._stack.state.project} on {self.address}"

    @property
    def address(self) -> str:
        """Where clients reach the service."""
        return f"http://{self._stack.state.plain_host}:{self._stack.state.chosen['STACK_ONLINE_PORT']}"

    @property
    def is_kept(self) -> bool:
        """Whether the proxy runs; the engine looks after the boxes."""
        try:
            self.place.runtime.servers()
        except ServerError:
            return False
        return True

    def now(self) -> Served:
        """What it serves."""
        self._look()
        return super().now()

    def start(self, tag: str, *, salt: str) -> None:
        """Start the image beside the box that serves; returns once it is healthy and the proxy has found it.

        Raises:
            ReleaseError: it is not there, does not become ready, or another version is being released.
        """
        self.begin(tag, salt=salt)
        backend = self.place.wanted().beside
        try:
            self.run_box(backend, tag, canary=True)
        except ServerError as error:
            self.withdraw()
            raise ReleaseError(
                where=tag,
                problem=error.problem or str(error),
                remedy=f"{self.place.wanted().stable} serves. {error.remedy}",
            ) from error
        self._asked_at = -_ASKED_S
        self._look()
        if self.place.wanted().canary != tag:
            raise ReleaseError(where=tag, problem="was withdrawn while it started", remedy="Start it again.")

    def share(self, share: float, *, mirror: float = 0.0, lease_s: float) -> None:
        """Let the canary serve a share of the subjects until the lease runs out."""
        super().share(share, mirror=mirror, lease_s=lease_s)
        self._stack_place.open()

    def withdraw(self) -> None:
        """Let the stable version, or after a promotion the former one, serve everybody at once."""
        super().withdraw()
        self._settle()

    def promote(self, *, keep_former: bool = True) -> None:
        """Let the canary be the stable version; the former box stays ready, or ends."""
        self._look()
        super().promote(keep_former=keep_former)
        self._settle()

    def scale(self, replicas: int) -> None:
        """One box of each version; its workers are `serving.workers`.

        Raises:
            ReleaseError: another number.
        """
        if replicas != 1:
            raise ReleaseError(
                where="replicas",
                expected="1 in the stack",
                got=str(replicas),
                remedy="Raise serving.workers and STACK_CPUS, or run it on Kubernetes.",
            )

    def counts(self) -> Mapping[Role, Counts]:
        """What each version's box did."""
        self._look()
        return super().counts()

    def addresses(self) -> Mapping[Role, list[str]]:
        """Where each ready box answers on this machine, past the proxy."""
        self._look()
        return super().addresses()

    def prepare(self, services: Sequence[str]) -> None:
        """Before the services are started: take the image that images.env names, and tell each box what it needs."""
        online = self._stack.state.images.get("online", "")
        with self.place.changing() as change:
            if online and change.wanted.stable != online:
                self._apply(Split(stable=change.wanted.backend))
                change.write(stable=online, canary="", former="")
        wanted = self.place.wanted()
        for backend, image in wanted.tags().items():
            if f"online-{backend}" in services:
                self._tell(backend, image, canary=wanted.role(backend) == "canary")

    def reload(self) -> None:
        """Let a proxy that runs read its configuration again; no connection is dropped."""
        output([self._stack.engine.name, "kill", "--signal", "USR2", self._stack.require("haproxy")])

    def clear(self) -> None:
        """Remove the box that an earlier release called `online`, once another one serves."""
        if self._stack.state.boxes:
            self._remove(FORMER_ONLINE)

    def run_box(self, backend: Backend, image: str, *, canary: bool = False) -> None:
        """Start an image as a box, in place of what is in it, and wait until the proxy has found it.

        Raises:
            ServerError: it does not become healthy.
        """
        service = f"online-{backend}"
        self._tell(backend, image, canary=canary)
        self._remove(service)
        stack = with_images(self._stack, self.place.wanted(), {backend: image})
        stack.compose("up", "-d", "--no-deps", service)
        stack.wait([service], _READY_S)
        if not self.is_kept:
            return
        give_up = time.monotonic() + _READY_S
        while not self._is_found(backend):
            if time.monotonic() > give_up:
                raise ServerError(where=service, problem="was not found by the proxy", remedy="See the log of haproxy.")
            time.sleep(_POLL_S)

    def _apply(self, split: Split) -> None:
        split.write(self.place.map)
        self._stack_place.open()
        super()._apply(split)
        self._stack_place.open()

    def _require_there(self, tag: str) -> None:
        if output([self._stack.engine.name, "image", "inspect", tag])[0]:
            raise ReleaseError(
                where=f"image {tag}",
                expected=f"an image that {self._stack.engine.name} has",
                got="none",
                remedy="Build it: make stack-images, or make images.",
            )

    def _mirrored(self) -> str:
        """By the name that boxes have for each other."""
        return next((f"http://online-{replica.backend}:3000" for replica in self._ready("canary")), "")

    def _settle(self) -> None:
        """Note the image that serves, and end the box that nobody needs, without waiting for it."""
        wanted = self.place.wanted()
        images = {**self._stack.state.images, **({"online": wanted.stable} if wanted.stable else {})}
        replace(self._stack.state, images=images).save_images()
        for backend in BACKENDS:
            if not wanted.tag(backend):
                found = self._stack.part_id(f"online-{backend}")
                if found:
                    # It finishes its requests; the container goes with the next one, or with the stack.
                    command = [self._stack.engine.name, "stop", "-t", "15", found]
                    ending = subprocess.Popen(
                        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
                    )
                    threading.Thread(target=ending.wait, daemon=True).start()

    def _tell(self, backend: Backend, image: str, *, canary: bool) -> None:
        """Write the box's variables, of those settings that the image's own release knows."""
        status, text = output([self._stack.engine.name, "run", "--rm", "--network=none", image, "cat", _CODE])
        given = {"mirror": _MIRROR, **({"predict_token": "true"} if self._stack.state.asks_for_tokens else {})}
        code = text if status == 0 else ""
        known = {**known_variables(code, given, canary=canary), **_of_stream(code, self._stack.state)}
        lines = [f"{name}={value}\n" for name, value in known.items()]
        write_atomically(self._stack_place.box(backend), "".join(lines), private=True)

    def _remove(self, service: str) -> None:
        if found := self._stack.part_id(service):
            output([self._stack.engine.name, "rm", "-f", found])

    def _is_found(self, backend: str) -> bool:
        try:
            return any(server.up for server in self.place.runtime.servers() if server.backend == backend)
        except ServerError:
            return False

    def _look(self) -> None:
        """Write what runs, as the keeper of processes does; the engine is asked once a second at most."""
        wanted = self.place.wanted()
        if time.monotonic() - self._asked_at > _ASKED_S:
            self._asked, self._asked_at = self._ask_engine(), time.monotonic()
        replicas = [
            Replica(
                name="box",
                backend=backend,
                role=wanted.role(backend),
                tag=tag,
                condition="ready" if self._is_found(backend) else "starting",
                port=self._asked[backend][0],
                pid=0,
                starts=self._asked[backend][1],
                memory_mb=0.0,
            )
            for backend, tag in wanted.tags().items()
            if backend in self._asked
        ]
        self.place.note(Running(address=self.address, at=time.time(), replicas=tuple(replicas)))

    def _ask_engine(self) -> dict[str, tuple[int, int]]:
        """For each box that there is: its port on this machine, and how often it was started."""
        ids = {backend: self._stack.part_id(f"online-{backend}") for backend in BACKENDS}
        found = {backend: container for backend, container in ids.items() if container}
        if not found:
            return {}
        form = '{{.RestartCount}} {{with index .NetworkSettings.Ports "3000/tcp"}}{{(index . 0).HostPort}}{{end}}'
        text = output([self._stack.engine.name, "inspect", "--format", form, *found.values()])[1]
        rows = [line.split() for line in text.splitlines()]
        return {
            backend: (int(row[1]) if len(row) > 1 else 0, 1 + int(row[0]))
            for backend, row in zip(found, rows, strict=False)
            if row
        }


def with_images(stack: Stack, wanted: Wanted, further: dict[Backend, str] | None = None) -> Stack:
    """The stack whose boxes have these images."""
    boxes = {**wanted.tags(), **(further or {})}
    return replace(stack, state=replace(stack.state, boxes={str(name): image for name, image in boxes.items()}))


def _of_stream(code: str, state: State) -> dict[str, str]:
    """Where a box puts messages of devices, and finds the hot store; nothing for a release from before the stream."""
    if "\n    stream: Path" not in code:
        return {}
    known = {"HAR_PATHS__STREAM": f"{_DATA}/stream"}
    if state.has_stream:
        known |= {"HAR_STREAM__HOT__ADDRESS": HOT_STORE, "HAR_STREAM__HOT__PASSWORD_FILE": f"{_DATA}/hot-password"}
    return known
