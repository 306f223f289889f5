"""The profile `stream`: its services keep the stack's rules, and broker and hot store run with their files."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hot_support import state as subject_state
from ports_support import free_port

from har.settings import Settings
from har.streaming.queue import open_queue
from har.streaming.state._redis import RedisHotStore
from har.streaming.state._state import now_us
from infra.compose.inside.prepare import main as prepare
from infra.compose.inside.stream import check, wait_for_champion
from infra.compose.secret_files import NAMES, OF_STREAM, make_secrets
from infra.compose.serving import _of_stream
from infra.compose.stack import FILE, FURTHER, STREAM_FILE, Stack
from infra.compose.starting import chosen_services
from infra.compose.state import State

FOLDER = STREAM_FILE.parent
CHECKER = Path(".venv/tools/bin/check-jsonschema").resolve()
CONTENT: dict[str, Any] = yaml.safe_load(STREAM_FILE.read_text(encoding="utf-8"))
OWN = {name: CONTENT["services"][name] for name in FURTHER["stream"]}
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
SERVER = shutil.which("valkey-server") or shutil.which("redis-server")


class Engine:
    """What `Stack` asks of an engine to write a command."""

    compose = ("docker", "compose")


def test_it_is_started_only_where_it_is_asked_for(tmp_path: Path) -> None:
    stack = Stack(tmp_path, "house", State.load(tmp_path, "house", {"STACK_TRAIN_IMAGE": "t:1"}), Engine())  # type: ignore[arg-type]
    assert not set(OWN) & set(chosen_services(stack, [])[0])
    assert chosen_services(stack, ["stream"])[0] == list(FURTHER["stream"])
    assert str(STREAM_FILE) in stack.command("down")


def test_the_services_keep_the_rules_of_the_stack() -> None:
    assert set(CONTENT["services"]) - {"prepare", "postgres"} == set(OWN)
    given = {entry.partition(":")[0] for entry in CONTENT["services"]["prepare"]["volumes"]}
    assert given == set(CONTENT["volumes"])
    assert set(CONTENT["secrets"]) == set(OF_STREAM) and not set(OF_STREAM) & set(NAMES)
    for service in OWN.values():
        assert service["profiles"] == ["stream"]
        assert service["user"] == "1034:1034" and service["cap_drop"] == ["ALL"] and service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"] and service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD" and service["healthcheck"]["start_period"]
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"} and service["pids_limit"] > 0
        assert all(entry.endswith(":ro") for entry in service["volumes"] if entry.startswith((".", "$")))
        for port in service.get("ports", []):
            assert re.match(r"\$\{STACK_BIND:-127\.0\.0\.1\}:\$\{STACK_MQTT_PORT:-1883\}:1883$", port)
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable:
                assert value.startswith("/run/secrets/"), "secrets are files"
    assert [name for name, service in OWN.items() if "ports" in service] == ["mosquitto"]
    for name in ("mosquitto", "valkey"):
        image = r"\$\{STACK_[A-Z]+_IMAGE:-docker\.io/[a-z/-]+:[\d.]+@sha256:[0-9a-f]{64}\}"
        assert re.fullmatch(image, OWN[name]["image"])
    named = re.findall(r"(?<!\$)\$\{(\w+)", STREAM_FILE.read_text())
    assert named and not [name for name in named if not name.startswith("STACK_")]


@pytest.mark.skipif(not CHECKER.exists(), reason="check-jsonschema is not installed: make setup-tools")
def test_the_file_is_valid() -> None:
    command = [CHECKER, "--builtin-schema", "vendor.compose-spec", STREAM_FILE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_settings_of_the_consumer_are_the_projects(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    from har.settings import load_settings

    for name, value in OWN["stream"]["environment"].items():
        if name.startswith("HAR_"):
            monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
    stream = load_settings(project).stream

    assert stream.sources == ("queue", "mqtt")
    assert (stream.mqtt.address, stream.mqtt.user) == ("mosquitto:1883", "consumer")
    assert stream.hot.address == "redis://valkey:6379/0"
    assert stream.history.address == "postgresql://stream@postgres:5432/stream"


def test_boxes_and_worker_find_the_hot_store_once_the_profile_was_started(tmp_path: Path) -> None:
    before = State.load(tmp_path, "house", {})
    after = State.load(tmp_path, "house", {"STACK_STREAM": "true"})
    after.save()
    code = "class Paths:\n    stream: Path = Path('data/stream')\n"

    assert before.variables()["STACK_HOT_ADDRESS"] == ""
    assert after.variables()["STACK_HOT_ADDRESS"] == "redis://valkey:6379/0"
    assert State.load(tmp_path, "house", {}).has_stream, "it is kept"
    assert _of_stream(code, before) == {"HAR_PATHS__STREAM": "/home/bentoml/data/stream"}
    assert _of_stream(code, after)["HAR_STREAM__HOT__ADDRESS"] == "redis://valkey:6379/0"
    assert _of_stream("class Paths:\n    journal: Path\n", after) == {}, "an earlier release would refuse it"
    used = set(re.findall(r"\$\{(STACK_HOT_ADDRESS)", FILE.read_text()))
    assert used == {"STACK_HOT_ADDRESS"}


def test_the_boxes_get_the_password_of_the_hot_store_in_their_volume(tmp_path: Path) -> None:
    secrets, volumes = tmp_path / "secrets", tmp_path / "volumes"
    make_secrets(secrets, OF_STREAM)
    (volumes / "journal").mkdir(parents=True)

    prepare(volumes, secrets, user=os.getuid())

    handed = volumes / "journal" / "hot-password"
    assert handed.read_text().strip() == (secrets / "valkey_password").read_text().strip()
    assert handed.stat().st_mode & 0o777 == 0o600


def _script(name: str, secrets: Path, folder: Path, *changes: tuple[str, str]) -> list[str]:
    """A service's own start, with this machine's folders in place of the container's."""
    (script,) = OWN[name]["command"]
    script = script.replace("$$", "$").replace("/tmp/", f"{folder}/").replace("/run/secrets", str(secrets))  # noqa: S108
    for old, new in changes:
        script = script.replace(old, new)
    return ["sh", "-euc", script]


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.skipif(MOSQUITTO is None, reason="needs mosquitto (apt-get install mosquitto)")
def test_the_broker_lets_devices_send_and_the_consumer_read(tmp_path: Path) -> None:
    from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5

    port, secrets, folder = free_port(), tmp_path / "secrets", tmp_path / "tmp"
    make_secrets(secrets, OF_STREAM)
    folder.mkdir()
    config = (FOLDER / "mosquitto" / "mosquitto.conf").read_text()
    for old, new in (
        ("listener 1883", f"listener {port} 127.0.0.1"),
        ("/tmp/", f"{folder}/"),  # noqa: S108
        ("/mosquitto/data/", f"{folder}/"),
        ("/mosquitto/config/acl", str(FOLDER / "mosquitto" / "acl")),
    ):
        assert old in config
        config = config.replace(old, new)
    (folder / "own.conf").write_text(f"user root\n{config}")
    script = _script("mosquitto", secrets, folder, ("/mosquitto/config/mosquitto.conf", str(folder / "own.conf")))
    heard: list[tuple[str, str]] = []
    arrived = threading.Event()

    def client(user: str, password: str, *topics: str) -> Client:
        made = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        made.username_pw_set(user, password)
        ready, answers = threading.Event(), []
        made.on_subscribe = lambda *_: ready.set()
        made.on_message = lambda _c, _u, message: (heard.append((user, message.topic)), arrived.set())
        made.on_connect = lambda *found: (answers.append(found[3]), ready.set() if not topics else None)
        made.connect("127.0.0.1", port)
        made.loop_start()
        if topics:
            made.subscribe([(topic, 1) for topic in topics])
        assert ready.wait(20)
        assert not answers[0].is_failure or user == "stranger"
        return made

    password = {name: (secrets / name).read_text().strip() for name in OF_STREAM}
    with _running(["env", "PATH=/usr/sbin:/usr/bin:/bin:/usr/local/bin", *script], port):
        consumer = client("consumer", password["mqtt_password"], "$share/har/har/samples/#")
        device = client("device", password["device_password"], "har/ack/#", "har/samples/#")
        stranger = client("stranger", "guess")
        intruder = client("device", password["device_password"])
        for made, topic in (
            (intruder, "har/ack/other"),  # a device must not say what is durable
            (device, "har/samples/S01/watch"),
            (consumer, "har/ack/watch"),
            (stranger, "har/samples/S02/watch"),
        ):
            made.publish(topic, b"x", qos=1)
        deadline = time.monotonic() + 20
        while len(heard) < 2 and time.monotonic() < deadline:
            arrived.wait(1)
            arrived.clear()
        for made in (consumer, device, stranger, intruder):
            made.disconnect()
            made.loop_stop()
    assert sorted(heard) == [("consumer", "har/samples/S01/watch"), ("device", "har/ack/watch")]
    assert not re.search("consumer:(?!\\$)", (folder / "passwords").read_text()), "the passwords are hashed"


@pytest.mark.skipif(SERVER is None, reason="needs a Redis server (apt-get install redis-server)")
def test_the_hot_store_wants_its_password(tmp_path: Path) -> None:
    port, secrets, folder = free_port(), tmp_path / "secrets", tmp_path / "tmp"
    make_secrets(secrets, OF_STREAM)
    folder.mkdir()
    config = (FOLDER / "valkey" / "valkey.conf").read_text()
    for old, new in (("bind * -::*", "bind 127.0.0.1"), ("port 6379", f"port {port}"), ("dir /data", f"dir {folder}")):
        assert old in config
        config = config.replace(old, new)
    (folder / "own.conf").write_text(config)
    script = _script(
        "valkey", secrets, folder, ("/etc/valkey/valkey.conf", str(folder / "own.conf")), ("valkey-server", str(SERVER))
    )
    with _running(script, port):
        hot = RedisHotStore(
            f"redis://127.0.0.1:{port}/0",
            "har:x:",
            3600_000_000,
            password=(secrets / "valkey_password").read_text().strip(),
        )
        hot.write([subject_state("S01", seen_us=now_us())], {})
        assert [found.subject for found in hot.subjects()] == ["S01"]
        hot.close()


def test_the_consumer_is_healthy_while_no_message_waits_for_long(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    from har.streaming.envelope import Envelope, StreamKey

    assert check(settings) == 0
    queue = open_queue(settings)
    queue.put([Envelope(StreamKey("S01", "watch", "a"), 0, now_us(), 50.0, np.zeros((10, 6), np.float32))])
    queue.close()
    assert check(settings) == 0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 301)
    assert check(settings) == 1
    assert "waited for 301 s" in capsys.readouterr().err


def test_the_consumer_waits_for_a_champion(settings: Settings) -> None:
    from observed_support import fill

    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        fill(settings)

    wait_for_champion(settings, sleep)
    assert len(slept) == 1
