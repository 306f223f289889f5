"""What devices send over HTTP: the reference client, and a phone with the app Sensor Logger."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from live_support import ServeStreaming, Streaming
from sensor_logger_support import iphone, push

from har.errors import SourceError
from har.streaming.client import Made, Spool, Stretch, cut, deliver, form_of, open_link
from har.streaming.client.links._http import HttpLink
from har.streaming.envelope import StreamKey
from har.streaming.ledger import read_ledger

pytestmark = pytest.mark.stack


def _messages(served: Streaming, subject: str, count: int) -> list[Made]:
    settings = served.service.settings
    values = np.tile(np.array([0.1, 0.2, 9.8, 0, 0, 0], np.float32), (50 * count, 1))
    times = 1_717_404_000_000_000 + np.arange(len(values)) * 20_000
    stretch = Stretch(StreamKey(subject, "band", "a"), times, values)
    return list(cut(iter([stretch]), form_of(settings, seconds=1.0)))


def test_the_client_delivers_and_forgets(shared: Streaming, tmp_path: Path) -> None:
    spool, link = Spool(tmp_path / "spool"), open_link(shared.url, shared.service.settings)
    done = deliver(iter(_messages(shared, "client", 20)), spool, link)
    assert (done.durable, done.waiting, done.refused) == (20, 0, ())
    assert read_ledger(shared.service.settings.path("stream")).subjects["client"].received == 20
    link.close()
    spool.close()


def test_a_full_queue_and_a_wrong_message_are_told_apart(streaming: ServeStreaming, tmp_path: Path) -> None:
    served = streaming(queue_messages=3)
    spool, link = Spool(tmp_path / "spool"), open_link(served.url, served.service.settings)
    messages = _messages(served, "s1", 6)
    messages[1] = messages[1]._replace(body=b"\x81\xa7subject\xa2s1")
    done = deliver(iter(messages), spool, link, patience_s=1)
    assert len(done.refused) == 1 and done.refused[0].startswith("422")
    assert "answers 429" in done.why
    assert 0 < done.waiting < 5
    link.close()
    spool.close()


def test_a_service_that_is_away_is_waited_for(shared: Streaming, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    away = HttpLink("http://127.0.0.1:9")
    done = deliver(iter(_messages(shared, "patient", 2)), spool, away, patience_s=0.1)
    assert (done.waiting, done.durable) == (2, 0)
    assert "http://127.0.0.1:9/samples is away" in done.why
    away.close()
    link = open_link(shared.url, shared.service.settings)
    assert deliver(iter(()), spool, link).durable == 2
    link.close()
    spool.close()


def test_a_token_that_cannot_be_read_is_said(shared: Streaming, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--token-file"):
        open_link(shared.url, shared.service.settings, token_file=tmp_path / "none")


@pytest.mark.parametrize(("query", "subject"), [("?subject=anna&placement=pocket", "anna"), ("", "phone-c0ffee00")])
def test_a_phone_streams_with_the_subject_of_its_address(shared: Streaming, query: str, subject: str) -> None:
    answers = [
        shared.service.client.post(
            f"/samples{query}", content=iphone(n, 1.0, number=n), headers={"content-type": "application/json"}
        )
        for n in range(3)
    ]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert answers[-1].json()["subject"] == subject
    assert answers[-1].json()["durable"] == 2


def test_the_app_s_test_message_is_answered_with_what_is_missing(shared: Streaming) -> None:
    answer = shared.service.client.post("/samples", content=push([]), headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "test message" in answer.json()["error"]["remedy"]


def test_the_command_of_the_handbook_answers_as_it_says(streaming: ServeStreaming, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl (apt-get install curl)")
    page = (Path(__file__).parents[4] / "docs" / "how-to" / "devices.md").read_text()
    message = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    command = re.search(r"^\$ (curl .*)\n(.*)$", page, re.MULTILINE)
    assert message and command
    (tmp_path / "message.json").write_text(message[1])
    done = subprocess.run(
        ["bash", "-c", command[1]],
        cwd=tmp_path,
        env=os.environ | {"SERVICE": streaming().url},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == command[2]
