"""Try built images in containers: `python -m infra.images.check [BOX[=IMAGE]] …`; `make images-check`.

Each runs with a read-only root, without capabilities, and with the variables that Kubernetes would add for a service.
The answers of online and batch are compared with those of the model in the image; the train image runs `tests/smoke`.
Ready time and memory go to `reports/images.json`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from har.errors import PackagingError
from har.files import temporary_folder
from har.settings import Settings, load_settings
from infra.images import figures
from infra.images.answers import require_own_answers
from infra.images.build import BOXES, USER_ID
from infra.images.ending import refusals
from infra.images.engine import ENGINES, Engine, find_engine
from infra.images.loop import require_loop

HARDENED = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--tmpfs=/tmp",
)
"""How an image must be able to run."""

_BENTO_FOLDERS = ("--tmpfs=/home/bentoml/tmp", "--volume=/home/bentoml/data")
_KUBERNETES = {
    "HAR_ONLINE_SERVICE_HOST": "10.0.0.1",
    "HAR_ONLINE_SERVICE_PORT": "3000",
    "HAR_ONLINE_PORT": "tcp://10.0.0.1:3000",
    "HAR_ONLINE_PORT_3000_TCP_ADDR": "10.0.0.1",
}
_PATIENT = {"HAR_SERVING__TIMEOUT_S": "60", "HAR_SERVING__DEADLINE_MS": "60000"}
_START_TIMEOUT_S = 120.0
_USED = """
import os, pathlib
processes = [path for path in pathlib.Path("/proc").glob("[0-9]*") if path.name != str(os.getpid())]
shares = [line.split()[1] for path in processes for line in (path / "smaps_rollup").read_text().splitlines()
    if line.startswith("Pss:")]
times = [(path / "stat").read_text().rpartition(")")[2].split()[11:15] for path in processes]
print(sum(map(int, shares)) * 1024, sum(int(part) for parts in times for part in parts) / os.sysconf("SC_CLK_TCK"))
"""
"""Memory of all processes in bytes, shared pages counted once, and their processor time in seconds."""
_STARTS = 3
_WRITE = "import pathlib; pathlib.Path('/written').touch()"


@dataclass(frozen=True)
class Running:
    """A container of a service.

    Attributes:
        engine: runs it.
        identity: its id.
        address: of its port 3000 on this machine.
        ready_s: from the command to the first answer that it is ready.
    """

    engine: Engine
    identity: str
    address: str
    ready_s: float

    def execute(self, *command: str) -> str:
        """Run a command in the container; returns its output.

        Raises:
            PackagingError: it failed.
        """
        where = f"in the container: {shlex.join(command)[:60]}"
        return self.engine.call("exec", self.identity, *command, where=where, remedy="Fix the image.")

    def used(self) -> tuple[float, float]:
        """Memory of its processes in MB, and the processor time that they have taken in seconds."""
        memory, processor = self.execute("python", "-c", _USED).split()
        return round(float(memory) / 1e6, 1), round(float(processor), 1)


@contextmanager
def running(engine: Engine, image: str, *options: str) -> Iterator[Running]:
    """Run a service's image during the block, hardened and on a free port of 127.0.0.1; yields it once it is ready.

    Raises:
        PackagingError: there is no such image, or it was not ready in time; has the end of its log.
    """
    variables = [f"--env={name}={value}" for name, value in {**_KUBERNETES, **_PATIENT}.items()]
    began = time.monotonic()
    arguments = [*HARDENED, *_BENTO_FOLDERS, "--publish=127.0.0.1::3000", *variables, *options]
    with engine.container(image, *arguments) as identity:
        where = f"image {image}"
        told = engine.call("port", identity, "3000", where=where, remedy="See the message above.")
        address = f"http://{told.split()[-1]}"
        while not _answers(f"{address}/readyz"):
            if time.monotonic() - began > _START_TIMEOUT_S or not _runs(engine, identity):
                raise PackagingError(
                    where=where,
                    problem=f"ended, or not ready in {_START_TIMEOUT_S:g} s. Its log ends:\n{engine.log(identity)}",
                    remedy="Fix what the log says; `har package` tries the same bento without a container.",
                )
            time.sleep(0.05)
        yield Running(engine, identity, address, round(time.monotonic() - began, 1))


def check_service(engine: Engine, box: str, image: str) -> dict[str, Any]:
    """Try an online or batch image; returns its figures.

    Raises:
        PackagingError: it is not as it should be.
    """
    config = engine.inspect(image)["Config"]
    with running(engine, image) as service, temporary_folder("image") as folder:
        _require_hardened(service, image)
        health = (config.get("Healthcheck") or {}).get("Test") or []
        if health[:1] != ["CMD"]:
            raise _not_as(image, "a health check", str(health or None))
        service.execute(*health[1:])
        bento = folder / "bento"
        source = f"{service.identity}:/home/bentoml/bento"
        engine.call("cp", source, str(bento), where=f"image {image}", remedy="See above.")
        processor_s = service.used()[1]
        require_own_answers(box, service.address, bento)
        memory_mb = service.used()[0]
    starts = [service.ready_s]
    for _ in range(
        _STARTS - 1
    ):  # what else the machine does only adds to the time, so the least of a few starts counts
        with running(engine, image) as again:
            starts.append(again.ready_s)
    return {
        f"{box}_image_ready_s": min(starts),
        f"{box}_image_ready_processor_s": processor_s,
        f"{box}_image_rss_mb": memory_mb,
    }


def check_train(engine: Engine, image: str, root: Path) -> dict[str, Any]:
    """Run the smoke tests inside the train image; returns its figures.

    Raises:
        PackagingError: a test failed.
    """
    seconds = require_loop(engine, image, root, HARDENED)
    return {"train_image_smoke_s": round(seconds, 1)}


def asked(module: str, text: str) -> tuple[Settings, Engine, dict[str, str]]:
    """The settings, the engine and the images by box that the command line of a module of this folder asks for.

    Args:
        module: its name.
        text: what it does.

    Raises:
        PackagingError: there is no engine that runs containers, or no such image was built.
    """
    parser = argparse.ArgumentParser(prog=f"python -m infra.images.{module}", description=text)
    parser.add_argument("images", nargs="*", metavar="BOX[=IMAGE]", help="by default all that were built last")
    parser.add_argument("--engine", default="", help=f"{', '.join(ENGINES)}; by default the first that answers")
    options = parser.parse_args()
    settings = load_settings()
    engine = find_engine(options.engine, first=settings.images.engine)
    engine.require_running()
    return settings, engine, chosen_images(settings, options.images)


def chosen_images(settings: Settings, words: list[str]) -> dict[str, str]:
    """The image of each box: as given, else the one that was built last.

    Args:
        settings: the project's.
        words: BOX or BOX=IMAGE; empty: all that were built.

    Raises:
        PackagingError: a box is unknown, or none of it was built.
    """
    path = settings.path("reports") / figures.FILE
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    built = {box: known[f"{box}_image"] for box in BOXES if f"{box}_image" in known}
    given = dict(word.partition("=")[::2] for word in words) or dict.fromkeys(built, "")
    for box in given:
        if box not in BOXES:
            raise PackagingError(
                where=box, expected=f"one of {', '.join(BOXES)}", got=repr(box), remedy="Name a box, or BOX=IMAGE:TAG."
            )
    chosen = {box: image or built.get(box, "") for box, image in given.items()}
    missing = [box for box, image in chosen.items() if not image]
    if missing or not chosen:
        raise PackagingError(
            where=", ".join(missing) or "images",
            expected="an image that was built here",
            got=f"none in {path}",
            remedy="Build it first: make images; or name one: BOX=IMAGE:TAG.",
        )
    return chosen


def _require_hardened(service: Running, image: str) -> None:
    user = service.execute("id", "-u").strip()
    if user != str(USER_ID):
        raise _not_as(image, f"user {USER_ID}", user)
    status = service.execute(
        "python", "-c", f"import contextlib\nwith contextlib.suppress(OSError): {_WRITE}; print(1)"
    )
    if status.strip():
        raise _not_as(image, "a root that cannot be written to", "a file that was written")


def _not_as(image: str, expected: str, got: str) -> PackagingError:
    return PackagingError(where=f"image {image}", expected=expected, got=got, remedy="Build it again: make images.")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:  # noqa: S310  http, composed above
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def _runs(engine: Engine, identity: str) -> bool:
    state = engine.call(
        "inspect",
        "--type",
        "container",
        "--format",
        "{{.State.Running}}",
        identity,
        where=identity,
        remedy="See above.",
    )
    return state.strip() == "true"


def main() -> None:
    """Try the images that were asked for."""
    with refusals():
        settings, engine, images = asked("check", "Try images in containers.")
        for box, image in images.items():
            engine.require_image(image)
            print(f"Trying {image} …", file=sys.stderr, flush=True)
            train = box == "train"
            found = check_train(engine, image, settings.root) if train else check_service(engine, box, image)
            figures.add(settings, {f"{box}_image": image, **found})
            print(f"{image}: as it should be; " + ", ".join(f"{name} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
