"""The handbook's page on devices: its message is one, and its commands for a broker work."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from broker_support import Mosquitto

from har.settings import Settings
from har.streaming.consumer import Receiver
from har.streaming.envelope import Limits, decode
from har.streaming.queue import open_queue
from har.streaming.sources import open_source

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "devices.md"


def _message() -> str:
    found = re.search(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


def test_the_message_of_the_page_is_one_and_its_fields_are_explained(settings: Settings) -> None:
    envelope = decode(_message().encode(), "application/json", Limits.of(settings))
    assert envelope.key.subject == "anna"
    explained = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert explained[:10] == list(json.loads(_message()))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    started = Mosquitto(tmp_path / "broker").start()
    yield started
    started.stop()


def test_the_commands_for_a_broker_answer_as_the_page_says(
    settings: Settings, broker: Mosquitto, tmp_path: Path
) -> None:
    if shutil.which("mosquitto_pub") is None:
        pytest.skip("needs mosquitto_pub (apt-get install mosquitto-clients)")
    lines: list[Any] = re.findall(r"^\$ (mosquitto_(?:sub|pub) .*?)(?: &)?\n(\[.*\])?", PAGE.read_text(), re.MULTILINE)
    (listen, _), (publish, answer) = lines
    port = broker.address.partition(":")[2]
    (tmp_path / "message.json").write_text(_message())
    queue = open_queue(settings)
    receiver = Receiver(open_source(f"mqtt:{broker.address}", settings), queue, settings)
    try:
        listening = subprocess.Popen(
            [*listen.split(), "-p", port, "-C", "1", "-W", "30"], stdout=subprocess.PIPE, text=True
        )
        # A device that was not told, as it did not listen yet, sends again and is told again.
        while listening.poll() is None:
            subprocess.run([*publish.split(), "-p", port], cwd=tmp_path, check=True)
            deadline = time.monotonic() + 1.5
            while listening.poll() is None and time.monotonic() < deadline:
                receiver.step(queue.waiting())
                time.sleep(0.01)
        heard, _ = listening.communicate()
    finally:
        receiver.close()
        queue.close()
    assert answer in heard.splitlines()
