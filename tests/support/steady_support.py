"""A project whose online service is kept behind the real HAProxy, steady load on it, and broken versions to release.

python tests/support/steady_support.py ROOT PORT    keeps the service until SIGTERM
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
from ports_support import free_port

ROOT = Path(__file__).resolve().parents[2]
NAME = "test-project"
SUBJECTS = [f"s{number:02d}" for number in range(12)]


def tag(version: int) -> str:
    return f"{NAME}-online:v{version}-{version:08x}"


def environment(root: Path) -> dict[str, str]:
    ours = ("BENTOML_", "PREFECT_", "PROMETHEUS_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return own | {"HAR_ROOT": str(root), "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}


@contextmanager
def kept(root: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The service of the folder, in a process of its own; yields its address."""
    from serving_support import eventually

    port = free_port()
    log = root / "keeper.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, __file__, "keep", str(root), str(port)],
            cwd=ROOT,
            env=environment(root),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"{address}/readyz", trust_env=False, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        eventually(answers, 120)
        yield address, process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def releasing(root: Path, version: int) -> subprocess.Popen[str]:
    """Release a packaged version, in a process of its own, which may be killed."""
    return subprocess.Popen(
        [sys.executable, __file__, "release", str(root), str(version)],
        cwd=ROOT,
        env=environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def prometheus(root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The real Prometheus, which reads the replicas that the keeper names."""
    folder = root / ".prefect" / "prometheus"
    folder.mkdir(parents=True, exist_ok=True)
    job = f"{{job_name: online, file_sd_configs: [{{files: [{folder}/online.json], refresh_interval: 1s}}]}}"
    content = f"global: {{scrape_interval: 1s}}\nscrape_configs: [{job}]\n"
    (folder / "prometheus.yml").write_text(content)
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "prometheus.log").open("ab") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@dataclass
class Answer:
    """One request: when it was sent and answered, its subject, status (0: none) and version."""

    began: float
    ended: float
    subject: str
    status: int
    version: int


@dataclass
class Load:
    """Asks the service all the time, each subject in turn, on kept connections.

    Args:
        address: of the service.
        windows: of a request, float32 (N, T, C).
        clients: threads.
        pause_s: between two requests of a thread.
    """

    address: str
    windows: np.ndarray
    clients: int = 3
    pause_s: float = 0.03
    answers: list[Answer] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> list[Answer]:
        """Not answered with 200."""
        return [answer for answer in list(self.answers) if answer.status != 200]

    def since(self, moment: float) -> list[Answer]:
        """Sent after a moment of the monotonic clock."""
        return [answer for answer in list(self.answers) if answer.began > moment]

    def versions(self, moment: float = 0.0) -> set[int]:
        """That answered requests sent since."""
        return {answer.version for answer in self.since(moment) if answer.status == 200}

    def _ask(self, number: int) -> None:
        shape = ",".join(map(str, self.windows.shape))
        random = np.random.default_rng(number)
        turn = number
        with httpx.Client(base_url=self.address, timeout=20, trust_env=False) as connection:
            while not self._ended.wait(self.pause_s):
                turn += 1
                subject = SUBJECTS[turn % len(SUBJECTS)]
                windows = self.windows + random.normal(0, 0.05, self.windows.shape)
                now = datetime.now(UTC).isoformat()
                began = time.monotonic()
                status, version = 0, 0
                try:
                    answer = connection.post(
                        "/predict/raw",
                        params={"shape": shape, "subject": subject, "start": now, "rate_hz": 50.0},
                        content=windows.astype("<f4").tobytes(),
                        headers={"Content-Type": "application/octet-stream", "X-Subject": subject},
                    )
                    status = answer.status_code
                    version = answer.json()["model_version"] if status == 200 else 0
                except (httpx.HTTPError, KeyError, ValueError):
                    pass
                self.answers.append(Answer(began, time.monotonic(), subject, status, version))


def copy_version(store: Path, source: int, target: int, model: Path, previous: tuple[Path, int]) -> Path:
    """A copy of a packaged version under another number, with another model; returns the folder of its code."""
    from serving_support import make_rule

    from har.inference import Package

    old, new = tag(source).partition(":")[2], tag(target).partition(":")[2]
    before = Package.read(store / "models" / NAME / old).sha256
    written = store / f"package-{target}"
    after = Package.write(written, model=model, version=target, previous=previous, shadow=None, rule=make_rule()).sha256
    for kind in (f"bentos/{NAME}-online", f"models/{NAME}"):
        folder = store / kind / new
        shutil.copytree(store / kind / old, folder)
        for path in folder.rglob("*"):
            if path.suffix in (".yaml", ".json") and path.is_file():
                path.write_text(path.read_text().replace(old, new).replace(before, after))
    for path in written.iterdir():
        shutil.copyfile(path, store / "models" / NAME / new / path.name)
    shutil.rmtree(written)
    return store / f"bentos/{NAME}-online" / new / "src"


def edit(path: Path, pattern: str, replacement: str) -> None:
    """Replace a piece of a file, which must be there."""
    text = path.read_text()
    changed, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE | re.DOTALL)
    assert count == 1, f"{pattern} is not in {path}"
    path.write_text(changed)


def _keep(root: Path, port: int) -> None:
    from har.files import make_folder, write_atomically
    from har.settings import load_settings
    from infra.local.third_party import installed
    from infra.serving.keeper import Keeper
    from infra.serving.launching import launch

    settings = load_settings(root)
    logs = settings.path("bentoml") / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    program = installed("haproxy")
    assert program
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("127.0.0.1", port))
        door.listen(512)
        door.set_inheritable(True)
        say = lambda line: print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)  # noqa: E731
        seen = make_folder(root / ".prefect" / "prometheus") / "online.json"

        def targets(found: Sequence[tuple[str, Mapping[str, str]]]) -> None:
            entries = [{"targets": [address], "labels": dict(labels)} for address, labels in found]
            write_atomically(seen, json.dumps(entries))

        keeper = Keeper(settings, program, door, logs, say, launch(settings, logs), targets=targets)
        try:
            while not ending.wait(0.2):
                keeper.tick()
        finally:
            keeper.stop()


def _release(root: Path, version: int) -> None:
    """Release a version whose bento is there, as `har release start` does."""
    from har.jobs.release import Order, release
    from har.project import open_project
    from infra.serving.releasing import surroundings

    project = open_project(root)
    report = release(project, surroundings(project), Order(version=version, tag=tag(version)))
    print(f"{report.result}: {report.sentence}", *report.notes, sep="\n", flush=True)


if __name__ == "__main__":
    what, folder, number = sys.argv[1:]
    {"keep": _keep, "release": _release}[what](Path(folder), int(number))
