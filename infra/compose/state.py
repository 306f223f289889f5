"""What this folder's stack was started with: `.stack/stack.env` and `.stack/images.env`, lines of NAME=VALUE.

- `stack.env` keeps the choices of the first start (project name, address, ports), so that every later command means the
  same stack. A variable of the environment replaces a line.
- `images.env` names the image of each box, with its tag. `make stack-images` and a release write it. That of the
  online service is the one that serves; `serving.json` says in which box it is, and what is in the other one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from har.errors import SettingsError
from har.files import write_atomically
from infra.compose.proxy import StackPlace

BOXES = ("train", "online", "batch")
FOLDER = ".stack"
PORTS = {
    "STACK_PREFECT_PORT": 4200,
    "STACK_MLFLOW_PORT": 5000,
    "STACK_ONLINE_PORT": 3000,
    "STACK_TLS_PORT": 3443,
    "STACK_PROMETHEUS_PORT": 9090,
    "STACK_GRAFANA_PORT": 3001,
    "STACK_ALERTS_PORT": 9093,
    "STACK_MQTT_PORT": 1883,
}
_KEPT = (
    *("STACK_PROJECT", "STACK_BIND", "STACK_HOSTS", "STACK_OVERRIDE", "STACK_TLS", "STACK_PREDICT_TOKEN"),
    "STACK_STREAM",
    *PORTS,
)
HOT_STORE = "redis://valkey:6379/0"
_PROJECT = re.compile("[a-z0-9][a-z0-9_-]*")
_ANYWHERE = ("0.0.0.0", "::", "[::]")  # noqa: S104  compared with, not bound


@dataclass(frozen=True)
class State:
    """The choices of one stack.

    Attributes:
        folder: `.stack` of the project.
        chosen: STACK_ variables, from the environment, else from the last start, else defaults.
        images: the image of each box that has one, by box.
        boxes: the image in each of the two boxes of the online service that has one: "blue", "green".
    """

    folder: Path
    chosen: dict[str, str]
    images: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, root: Path, name: str, variables: Mapping[str, str]) -> State:
        """The state of the project in `root`.

        Args:
            root: the project's folder.
            name: of the project; by default also of the stack.
            variables: of the environment.

        Raises:
            SettingsError: a line or a value cannot be used.
        """
        folder = root / FOLDER
        kept = read(folder / "stack.env")
        defaults = {
            "STACK_PROJECT": re.sub("[^a-z0-9_-]", "-", name.lower()).strip("-_") or "har",
            "STACK_BIND": "127.0.0.1",
            "STACK_HOSTS": "",
            "STACK_OVERRIDE": "",
            "STACK_TLS": "",
            "STACK_PREDICT_TOKEN": "false",
            "STACK_STREAM": "false",
            **{port: str(number) for port, number in PORTS.items()},
        }
        chosen = {key: variables.get(key) or kept.get(key) or default for key, default in defaults.items()}
        further = {key: value for key, value in variables.items() if key.startswith("STACK_") and key not in chosen}
        images = read(folder / "images.env")
        given = {box: variables.get(image_variable(box)) or images.get(image_variable(box)) for box in BOXES}
        held = {box: image for box, image in given.items() if image}
        state = cls(folder, {**further, **chosen}, held, boxes_of(folder, held.get("online", "")))
        state.check()
        return state

    @property
    def project(self) -> str:
        """The name of the stack on its engine."""
        return self.chosen["STACK_PROJECT"]

    @property
    def host(self) -> str:
        """The address under which this machine reaches the published ports."""
        bind = self.chosen["STACK_BIND"]
        return "127.0.0.1" if bind in _ANYWHERE else bind

    @property
    def tls(self) -> bool:
        """Whether the online service is reached with TLS from elsewhere, and without it from this machine only."""
        return self.chosen["STACK_TLS"] not in ("", "0", "no", "false")

    @property
    def has_stream(self) -> bool:
        """Whether the profile `stream` was started: the hot store is Valkey then, and else a file."""
        return self.chosen["STACK_STREAM"] == "true"

    @property
    def asks_for_tokens(self) -> bool:
        """Whether windows need a token, as feedback does."""
        return json.loads(self.chosen["STACK_PREDICT_TOKEN"]) is True

    @property
    def plain_host(self) -> str:
        """The address under which this machine reaches the online service without TLS."""
        return "127.0.0.1" if self.tls else self.host

    @property
    def hosts(self) -> list[str]:
        """Further names of this machine that pages and services answer to."""
        bind = self.chosen["STACK_BIND"]
        return self.chosen["STACK_HOSTS"].split() + ([] if bind in _ANYWHERE else [bind])

    @property
    def secrets(self) -> Path:
        """The folder of the secret files."""
        return self.folder / "secrets"

    @property
    def begun(self) -> bool:
        """Whether a stack was started from this folder before."""
        return (self.folder / "stack.env").exists()

    def check(self) -> None:
        """Check the values that become names and ports.

        Raises:
            SettingsError: one cannot be used, or two services would have the same port.
        """
        if not _PROJECT.fullmatch(self.project):
            raise _unusable("STACK_PROJECT", "small letters, digits, - and _", self.project)
        if self.chosen["STACK_PREDICT_TOKEN"] not in ("true", "false"):
            raise _unusable("STACK_PREDICT_TOKEN", "true or false", self.chosen["STACK_PREDICT_TOKEN"])
        owners: dict[str, str] = {}
        for name in PORTS:
            value = self.chosen[name]
            if not value.isdigit() or not 0 < int(value) < 65536:
                raise _unusable(name, "a port, 1 to 65535", value)
            if value in owners:
                raise _unusable(name, "a port of its own", f"{value}, which {owners[value]} has")
            owners[value] = name

    def save(self) -> None:
        """Write both files, for the user alone."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        _write(self.folder / "stack.env", {name: self.chosen[name] for name in _KEPT})
        self.save_images()

    def save_images(self) -> None:
        """Write `images.env`."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(self.folder / "images.env", {image_variable(box): image for box, image in self.images.items()})

    def variables(self) -> dict[str, str]:
        """What compose.yaml refers to, as environment variables."""
        hosts = self.hosts
        served = ["online", "online-blue", "online-green", "127.0.0.1", "localhost", *hosts]
        return {
            "STACK_WORKER_CPUS": str(os.cpu_count() or 1),
            **self.chosen,
            "STACK_HOT_ADDRESS": HOT_STORE if self.has_stream else "",
            "STACK_STATE": str(self.folder),
            "STACK_HOSTS": " ".join(hosts),
            "STACK_SERVING_HOSTS": json.dumps(list(dict.fromkeys(served))),
            # Until a champion is packaged there is no batch box to ask: the nightly job predicts in its own process.
            "STACK_SCORING": "http://batch:3000" if "batch" in self.images else "",
            "STACK_PLAIN_BIND": "127.0.0.1" if self.tls else self.chosen["STACK_BIND"],
            **{image_variable(box): image for box, image in (*self.images.items(), *self.boxes.items())},
        }


def boxes_of(folder: Path, online: str) -> dict[str, str]:
    """The image in each box of the online service.

    Args:
        folder: `.stack`.
        online: the image that serves, as images.env says: somebody may have written another one there.
    """
    wanted = StackPlace(folder).wanted()
    if online and wanted.stable != online:
        return {str(wanted.backend): online}
    return {str(backend): image for backend, image in wanted.tags().items()}


def image_variable(box: str) -> str:
    """The variable that names the image of a box."""
    return f"STACK_{box.upper()}_IMAGE"


def read(path: Path) -> dict[str, str]:
    """The lines NAME=VALUE of a file; empty if there is none.

    Raises:
        SettingsError: a line is none.
    """
    values: dict[str, str] = {}
    if not path.exists():
        return values
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not re.fullmatch("STACK_[A-Z_]+", name.strip()):
            raise SettingsError(
                where=f"{path}, line {number}",
                expected="STACK_NAME=VALUE",
                got=repr(line),
                remedy="Fix or delete the line.",
            )
        values[name.strip()] = value.strip().strip('"')
    return values


def _write(path: Path, values: Mapping[str, str]) -> None:
    write_atomically(path, "".join(f"{name}={value}\n" for name, value in values.items()), private=True)


def _unusable(name: str, expected: str, got: str) -> SettingsError:
    return SettingsError(
        where=name, expected=expected, got=got, remedy=f"Give another one: make stack {name}=…; it is kept for later."
    )
