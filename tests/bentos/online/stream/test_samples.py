"""`POST /samples`: what was answered is on disk, once; what is wrong is refused and counted; a full queue says so."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import msgspec
import pytest
from live_support import ServeStreaming, Streaming, message, serve_streaming

from bentos.online.stream._writing import Writer
from har.inference import Package
from har.streaming.envelope import StreamKey
from har.streaming.ledger import read_ledger
from har.streaming.queue import Placed, open_queue
from har.tokens import add_token

pytestmark = pytest.mark.stack


def test_what_is_answered_is_on_disk(streaming: ServeStreaming) -> None:
    served = streaming()
    for sequence, durable in ((0, 0), (1, 1), (1, 1), (3, 1), (2, 3)):
        answer = served.service.client.post("/samples", json=message(sequence=sequence))
        assert answer.status_code == 202, answer.text
        assert answer.json() == {"subject": "s01", "device": "watch-1", "session": "morning", "durable": durable}
        assert answer.headers["x-request-id"]
    counts = read_ledger(served.service.settings.path("stream")).subjects["s01"]
    assert (counts.received, counts.waiting, counts.duplicate) == (5, 4, 1)
    queue = open_queue(served.service.settings)
    stored = [row for shard in queue.shards for row in shard.query("SELECT sequence, rows FROM messages")]
    queue.close()
    assert sorted(stored) == [(0, 50), (1, 50), (2, 50), (3, 50)]
    assert served.service.metric("har_requests_total", route="/samples", status="202") == 5


@pytest.mark.parametrize("media", ["application/msgpack", "application/x-msgpack", "application/json; charset=utf-8"])
def test_the_same_in_every_form(shared: Streaming, media: str) -> None:
    given = message(f"form-{len(media)}", samples=2)
    body = json.dumps(given).encode() if "json" in media else msgspec.msgpack.encode(given)
    answer = shared.service.client.post("/samples", content=body, headers={"content-type": media})
    assert (answer.status_code, answer.json()["durable"]) == (202, 0)


def test_a_long_message_is_taken_too(shared: Streaming) -> None:
    """It is decoded beside the event loop."""
    given = message("long", samples=5000)
    assert len(json.dumps(given)) > 100_000
    assert shared.service.client.post("/samples", json=given).json()["durable"] == 0


WRONG = [
    ({"units": {}}, 422, "units"),
    ({"channels": ["a", "b", "c", "d", "e", "f"]}, 422, "channels"),
    ({"samples": [[1.0]]}, 422, "samples"),
    ({"rate_hz": 0.0}, 422, "rate_hz"),
    ({"sequence": -1}, 422, "sequence"),
    ({"subject": "a/b"}, 422, "subject"),
]


@pytest.mark.parametrize(("change", "status", "field"), WRONG)
def test_what_is_wrong_is_refused_by_field(
    shared: Streaming, change: dict[str, object], status: int, field: str
) -> None:
    answer = shared.service.client.post("/samples", json={**message("wrong"), **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["field"].split("[")[0]) == (status, field)
    assert error.keys() == {"field", "expected", "got", "remedy"}


def test_a_refused_message_is_counted_and_set_aside(streaming: ServeStreaming) -> None:
    served = streaming()
    bad = message("s02", units={"accelerometer": "furlongs"})
    assert served.service.client.post("/samples", json=bad).status_code == 422
    body = b'{"subject":'
    json_only = {"content-type": "application/json"}
    assert served.service.client.post("/samples", content=body, headers=json_only).status_code == 400
    ledger = read_ledger(served.service.settings.path("stream"))
    assert {name: (one.received, one.rejected) for name, one in ledger.subjects.items()} == {
        "s02": (1, 1),
        "unknown": (1, 1),
    }
    assert ledger.balances
    kept = (served.service.settings.path("quarantine") / "stream" / "refused.jsonl").read_text().splitlines()
    assert [json.loads(line).get("subject") for line in kept] == ["s02", None]


@pytest.mark.parametrize(
    ("media", "status"), [("application/vnd.apache.arrow.stream", 415), ("text/plain", 415), ("", 415)]
)
def test_other_forms_are_refused(shared: Streaming, media: str, status: int) -> None:
    answer = shared.service.client.post("/samples", content=b"ARROW1", headers={"content-type": media})
    assert answer.status_code == status
    if "arrow" in media:
        assert "MQTT and Kafka" in answer.json()["error"]["remedy"]


def test_a_message_has_a_largest_size(streaming: ServeStreaming) -> None:
    served = streaming(message_bytes=2000)
    answer = served.service.client.post("/samples", json=message(samples=100))
    assert answer.status_code == 413
    assert "stream.message_bytes" in answer.json()["error"]["remedy"]
    assert served.service.client.post("/samples", json=message(samples=10)).status_code == 202


def test_a_full_queue_takes_nothing_and_says_when_to_come_again(streaming: ServeStreaming) -> None:
    served = streaming(queue_messages=3)
    answers = [served.service.client.post("/samples", json=message(sequence=number)) for number in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert answers[-1].headers["retry-after"] == "1"
    assert "har stream run" in answers[-1].json()["error"]["remedy"]
    assert read_ledger(served.service.settings.path("stream")).total.received == 3


def test_a_queue_that_cannot_be_written_is_503(streaming: ServeStreaming) -> None:
    served = streaming()
    served.service.settings.path("stream").parent.mkdir(parents=True, exist_ok=True)
    served.service.settings.path("stream").write_text("a file in the folder's place")
    answer = served.service.client.post("/samples", json=message())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert served.service.client.get("/readyz").status_code == 200
    served.service.settings.path("stream").unlink()
    assert served.service.client.post("/samples", json=message()).status_code == 202


def test_samples_need_a_token_from_elsewhere(streaming: ServeStreaming) -> None:
    """Before the body is read, as feedback does; the cookie of a visit, which is for reading, is none."""
    served = streaming(pages="token")
    token = add_token(served.service.settings.path("feedback_token"), "watch")
    elsewhere = {"X-Forwarded-For": "203.0.113.9"}
    bearer = {**elsewhere, "Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=served.url) as client:
        assert client.post("/samples", json=message(), headers=elsewhere).status_code == 401
        assert client.post("/login", headers=bearer).status_code == 200
        assert client.get("/subjects", headers=elsewhere).status_code == 200
        assert client.post("/samples", json=message(), headers=elsewhere).status_code == 401
        assert client.post("/samples", json=message(), headers=bearer).status_code == 202


def test_two_services_write_to_one_folder(package: Package, streaming: ServeStreaming) -> None:
    """As replicas do, and the old and the new version during a release: no message is lost or counted twice."""
    first = streaming()
    with ExitStack() as stack:
        root = first.service.settings.root.parent
        second = stack.enter_context(serve_streaming(package, root))
        assert second.service.settings.root == first.service.settings.root
        urls = (first.url, second.url)

        def send(number: int) -> int:
            url = urls[number % 2]
            answer = httpx.post(f"{url}/samples", json=message(f"r{number % 5}", number // 5, samples=5), timeout=30)
            return answer.status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(send, range(30))) == {202}
    total = read_ledger(first.service.settings.path("stream")).total
    assert (total.received, total.waiting, total.duplicate) == (30, 30, 0)


class _SlowQueue:
    """Holds the first transaction until it may go on."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def put(self, envelopes: list[object], refused: list[object]) -> Placed:
        self.sizes.append(len(refused))
        self.begun.set()
        self.may_go_on.wait(10)
        return Placed(durable={StreamKey("a", "b", "c"): 1})

    def close(self) -> None:
        self.sizes.append(-1)


async def _gather(queue: _SlowQueue) -> list[Placed]:
    import asyncio

    from har.streaming.queue import Refused

    writer = Writer(lambda: queue)  # type: ignore[arg-type, return-value]
    first = asyncio.create_task(writer.put(Refused("", b"")))
    await asyncio.to_thread(queue.begun.wait, 10)
    further = [asyncio.create_task(writer.put(Refused("", b""))) for _ in range(20)]
    await asyncio.sleep(0)
    queue.may_go_on.set()
    found = [await task for task in (first, *further)]
    await writer.close()
    return found


def test_what_comes_during_a_commit_shares_the_next_one() -> None:
    import asyncio

    queue = _SlowQueue()
    assert len(asyncio.run(_gather(queue))) == 21
    assert queue.sizes == [1, 20, -1]


def pushed(number: int, samples: int = 40) -> dict[str, object]:
    """What the phone app Sensor Logger sends over HTTP each second."""
    begin_ns = 1_790_000_000_000_000_000 + number * 1_000_000_000
    readings = [
        {"name": name, "time": str(begin_ns + index * 20_000_000), "values": values}
        for index in range(samples)
        for name, values in (
            ("accelerometer", {"x": 0.1, "y": 0.2, "z": 0.3}),
            ("gravity", {"x": 0.0, "y": 0.0, "z": 9.8}),
            ("gyroscope", {"x": 0.01, "y": 0.02, "z": 0.03}),
        )
    ]
    return {"messageId": number, "sessionId": "abc-1", "deviceId": "phone-7", "payload": readings}


def test_a_phone_pushes_with_the_subject_in_its_address(streaming: ServeStreaming) -> None:
    served = streaming()
    for number in range(2):
        answer = served.service.client.post("/samples?subject=anna&placement=wrist", json=pushed(number))
        assert answer.status_code == 202, answer.text
        assert answer.json() == {"subject": "anna", "device": "phone-7", "session": "abc-1", "durable": number}
    queue = open_queue(served.service.settings)
    (stored,) = [shard.query("SELECT DISTINCT placement FROM messages") for shard in queue.shards if shard.waiting]
    queue.close()
    assert stored == [("wrist",)]
    refused = served.service.client.post("/samples?subject=a/b", json=pushed(0))
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "subject")
    refused = served.service.client.post("/samples?token=secret", json=pushed(0))
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "query: token")
    assert "secret" not in refused.text
