"""One stack on one engine: start it in order, wait until it is healthy, look at it, replace one box, stop it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from har.errors import ServerError
from infra.compose.engine import Engine, find_engine, output
from infra.compose.inside._waiting import wait_for_answer
from infra.compose.state import State

FILE = Path(__file__).with_name("compose.yaml")
SERVICES = {
    "offline": ("postgres", "prefect", "mlflow", "worker", "batch"),
    "online": ("online-blue", "online-green", "haproxy"),
    "monitoring": ("exporter", "alertmanager", "prometheus", "grafana"),
}
"""The services of each profile, in the order in which they start."""
LOGS_FILE = FILE.with_name("logs.yaml")
STREAM_FILE = FILE.with_name("stream.yaml")
FURTHER = {"logs": ("loki", "alloy"), "stream": ("mosquitto", "valkey", "stream")}
"""Services of profiles that are started only if they are named; they are in files of their own."""
FORMER_ONLINE = "online"
"""The one box of the online service in stacks that an earlier release started."""
PROFILES = tuple(SERVICES)
HEALTHY_WITHIN_S = 600.0
"""Long, for a busy machine; a service that ends again and again is reported at once."""
_POLL_S = 1.0
_RESTARTS = 5
_PROXY_S = 30.0


@dataclass(frozen=True)
class Part:
    """A service's container.

    Attributes:
        service: its name in compose.yaml.
        container: its id; "" if there is none.
        state: "running", "exited" …; "absent" without a container.
        healthy: whether its health check passes.
        restarts: how often the engine started it again since it was created.
    """

    service: str
    container: str = ""
    state: str = "absent"
    healthy: bool = False
    restarts: int = 0


@dataclass(frozen=True)
class Stack:
    """A stack: its choices and its engine.

    Attributes:
        root: the project's folder.
        name: the project's name, which the boxes' images begin with.
        state: what it was started with.
        engine: runs it.
    """

    root: Path
    name: str
    state: State
    engine: Engine

    @classmethod
    def open(cls, root: Path, name: str, variables: Mapping[str, str] | None = None, *, engine: str = "") -> Stack:
        """The stack of the project in `root`; `engine` is tried before the other one.

        Raises:
            SettingsError: a choice cannot be used.
            ServerError: there is no engine.
        """
        variables = os.environ if variables is None else variables
        return cls(root, name, State.load(root, name, variables), find_engine(variables, first=engine))

    @property
    def files(self) -> list[Path]:
        """The compose files: the project's, and those of STACK_OVERRIDE, laid over it."""
        further = [Path(entry) for entry in self.state.chosen["STACK_OVERRIDE"].split(os.pathsep) if entry]
        return [FILE, LOGS_FILE, STREAM_FILE, *(self.root / path for path in further)]

    def command(self, *arguments: str) -> list[str]:
        """The compose command with the stack's name, files and profiles."""
        files = [part for path in self.files for part in ("-f", str(path))]
        profiles = [part for name in (*PROFILES, *FURTHER, "prepare") for part in ("--profile", name)]
        return [*self.engine.compose, "-p", self.state.project, *files, *profiles, *arguments]

    def environment(self) -> dict[str, str]:
        """The variables for it."""
        return {**os.environ, **self.state.variables(), "COMPOSE_IGNORE_ORPHANS": "true"}

    def compose(self, *arguments: str) -> None:
        """Run compose quietly.

        Raises:
            ServerError: it fails; has the end of its output.
        """
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise ServerError(
                where=f"{' '.join(self.engine.compose)} {' '.join(arguments)}",
                problem=f"ended with {done.returncode}",
                remedy=f"It said:\n{_end(done.stdout)}",
            )

    def part(self, service: str) -> Part:
        """The state of one service; asks its health where the engine does not."""
        found = self._ids(service)
        if not found:
            return Part(service)
        name = self.engine.name
        state, _, restarts = (
            output([name, "inspect", "--format", "{{.State.Status}} {{.RestartCount}}", found[0]])[1]
            .strip()
            .partition(" ")
        )
        if self.engine.probes_itself:
            health = output([name, "inspect", "--format", "{{.State.Health.Status}}", found[0]])[1].strip()
            healthy = health == "healthy"
        else:
            healthy = state == "running" and output([name, "healthcheck", "run", found[0]])[0] == 0
        return Part(service, found[0], state, healthy, int(restarts) if restarts.isdigit() else 0)

    def parts(self) -> list[Part]:
        """The states of all services, in the order of their start; of further ones if they have a container."""
        further = [part for services in FURTHER.values() for part in map(self.part, services) if part.container]
        return [*(self.part(service) for services in SERVICES.values() for service in services), *further]

    def wait(self, services: Iterable[str], timeout_s: float = HEALTHY_WITHIN_S) -> None:
        """Wait until these services are healthy, and the proxy passes requests on if it is one of them.

        Raises:
            ServerError: one is not in time, or ends again and again; has the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        services = list(services)
        waiting = [self.part(service) for service in services]
        allowed = {part.service: part.restarts + _RESTARTS for part in waiting}
        while waiting := [part for part in waiting if not part.healthy]:
            for part in waiting:
                if part.restarts >= allowed[part.service]:
                    raise self._sick(part, f"ended {_RESTARTS} times")
            if time.monotonic() > deadline:
                raise self._sick(waiting[0], f"is not healthy after {timeout_s:g} s ({waiting[0].state})")
            time.sleep(_POLL_S)
            waiting = [self.part(part.service) for part in waiting]
        if "haproxy" in services:
            # It notices a new box a second after the engine does.
            address = f"http://{self.state.plain_host}:{self.state.chosen['STACK_ONLINE_PORT']}/readyz"
            wait_for_answer(address, max(deadline - time.monotonic(), _PROXY_S))

    def log_end(self, service: str, lines: int = 20) -> str:
        """The last lines that a service's container wrote."""
        found = self._ids(service)
        if not found:
            return "(no container)"
        command = [self.engine.name, "logs", "--tail", str(lines), found[0]]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.stdout

    def run_in(self, service: str, command: Sequence[str], *, stdin: int | None = None, terminal: bool = False) -> int:
        """Run a command in a service's container, with this process's outputs; returns its exit status.

        Raises:
            ServerError: the service does not run.
        """
        options = ["-i", *(["-t"] if terminal else [])] if stdin is not None or terminal else []
        return subprocess.run(
            [self.engine.name, "exec", *options, self.require(service), *command], stdin=stdin, check=False
        ).returncode

    def answer_of(self, service: str, command: Sequence[str]) -> str:
        """What a command prints in a service's container.

        Raises:
            ServerError: the service does not run, or the command fails.
        """
        done = subprocess.run(
            [self.engine.name, "exec", self.require(service), *command],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise ServerError(
                where=f"{' '.join(command[:3])} in {service}",
                problem=f"ended with {done.returncode}",
                remedy=f"It said:\n{_end(done.stderr or done.stdout)}",
            )
        return done.stdout

    def require(self, service: str) -> str:
        """The id of a service's running container.

        Raises:
            ServerError: it does not run.
        """
        found = self._ids(service, running=True)
        if not found:
            raise ServerError(
                where=f"service {service}",
                problem=f"does not run in the stack {self.state.project}",
                remedy="Start the stack: make stack.",
            )
        return found[0]

    def down(self) -> None:
        """Stop and remove the containers; volumes, secrets and choices stay.

        Raises:
            ServerError: compose fails.
        """
        self.compose("down")
        if legacy := self.part_id(FORMER_ONLINE):
            output([self.engine.name, "rm", "-f", legacy])

    def traces(self) -> list[str]:
        """Containers and volumes that the engine has under this stack's name."""
        label = f"label=com.docker.compose.project={self.state.project}"
        containers = output([self.engine.name, "ps", "-a", "--filter", label, "--format", "{{.Names}}"])[1].split()
        return containers + output([self.engine.name, "volume", "ls", "-q", "--filter", label])[1].split()

    def _sick(self, part: Part, problem: str) -> ServerError:
        log = self.log_end(part.service)
        return ServerError(where=f"service {part.service}", problem=problem, remedy=f"Its log ends:\n{log}")

    def part_id(self, service: str) -> str:
        """The id of a service's container, which may have ended; "": there is none."""
        return next(iter(self._ids(service)), "")

    def _ids(self, service: str, *, running: bool = False) -> list[str]:
        labels = [f"com.docker.compose.project={self.state.project}", f"com.docker.compose.service={service}"]
        filters = [part for label in labels for part in ("--filter", f"label={label}")]
        status, text = output([self.engine.name, "ps", "-q", *([] if running else ["-a"]), *filters])
        return text.split() if status == 0 else []


def _end(text: str, lines: int = 20) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])
