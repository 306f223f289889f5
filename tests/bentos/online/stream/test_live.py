"""The routes about subjects: what the hot store has, as JSON and as a stream of events; and who may ask."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from live_support import (
    ACTIVITIES,
    LEDGER,
    SECOND,
    STRIDE,
    ServeStreaming,
    Streaming,
    answers_until,
    crowd,
    now_us,
    signal_until,
    state_of,
)
from serving_support import eventually

from bentos.online.stream import FILES
from bentos.online.stream import _routes as routes
from har.streaming.state import Answer
from har.tokens import add_token, remove_token

pytestmark = pytest.mark.stack

ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}


@contextmanager
def events(url: str, name: str, **how: Any) -> Iterator[Callable[[str], dict[str, Any]]]:
    """The stream of a subject; `next_of(kind)` waits for the next event of that kind."""
    with httpx.stream("GET", f"{url}/subjects/{name}/live", timeout=10, **how) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        lines = answer.iter_lines()

        def next_of(kind: str) -> dict[str, Any]:
            found = ""
            for line in lines:
                if line.startswith("event: "):
                    found = line.removeprefix("event: ")
                elif line.startswith("data: ") and found == kind:
                    return dict(json.loads(line.removeprefix("data: ")))
            raise EOFError(f"the stream ended without {kind}")

        yield next_of


def test_everyone_is_listed_with_the_ledger(streaming: ServeStreaming) -> None:
    served = streaming()
    crowd(served.store, 20, ACTIVITIES)
    got = served.service.client.get("/subjects")
    assert got.headers["cache-control"] == "no-store"
    content = got.json()
    assert [one["subject"] for one in content["subjects"]] == [f"s{number:03d}" for number in range(20)]
    assert content["ledger"]["total"] == LEDGER
    assert "subjects" not in content["ledger"]  # with thousands of them, each page would get all
    assert content["activities"] == list(ACTIVITIES)
    assert (content["zone"], content["stale_s"]) == ("UTC", 30.0)
    uncertain = [one for one in content["subjects"] if one["answer"]["abstained"]]
    assert uncertain
    assert {one["answer"]["shown"] for one in uncertain} == {"uncertain"}
    device = content["subjects"][5]["devices"][0]
    assert (device["missing"], device["late"], device["clock_skew_s"]) == (3, 2, -64.0)
    assert got.headers["content-encoding"] == "gzip"
    plain = httpx.get(f"{served.url}/subjects", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json()["subjects"] == content["subjects"]


def test_without_a_consumer_there_is_nobody(streaming: ServeStreaming) -> None:
    content = streaming().service.client.get("/subjects").json()
    assert (content["subjects"], content["ledger"]) == ([], {})


def test_one_subject_with_its_day(shared: Streaming) -> None:
    end = now_us()
    given = answers_until(end, 400, ACTIVITIES)
    shared.store.write([state_of("whole", given[-1], baseline={"share": 0.25})], {"whole": given})
    content = shared.service.client.get("/subjects/whole").json()
    assert content["baseline"] == {"share": 0.25}
    assert [one["start_us"] for one in content["answers"]] == [one.start_us for one in given[:-51:-1]]
    day = content["day"]
    today = [one for one in given if day["start_us"] <= one.start_us < day["end_us"]]
    assert day["stretches"][0][0] == today[0].start_us
    assert day["stretches"][-1][1] == given[-1].end_us
    begins, ends = [one[0] for one in day["stretches"]], [one[1] for one in day["stretches"]]
    assert ends[:-1] == begins[1:]  # no gap, no overlap
    for answer in today:
        (shown,) = [one for one in day["stretches"] if one[0] <= answer.start_us < one[1]]
        assert shown[2] == ("uncertain" if answer.abstained else answer.activity)
        assert shown[3] == answer.unknown


def test_an_unknown_subject_is_404(shared: Streaming) -> None:
    for path in ("/subjects/nobody", "/subjects/nobody/live"):
        got = shared.service.client.get(path)
        assert (got.status_code, got.json()["error"]["field"]) == (404, "subject")
    assert shared.service.client.get("/subjects/a/b").json()["error"]["field"] == "path"


def test_names_of_all_scripts_are_found(shared: Streaming) -> None:
    answer = answers_until(now_us(), 1, ACTIVITIES)[0]
    shared.store.write([state_of("Jörg.2", answer)], {"Jörg.2": [answer]})
    assert shared.service.client.get("/subjects/J%C3%B6rg.2").json()["subject"] == "Jörg.2"


def test_a_stream_tells_what_comes_in(shared: Streaming) -> None:
    first = answers_until(now_us() - 10 * SECOND, 5, ("WALK",))
    shared.store.write([state_of("live", first[-1])], {"live": first})
    with events(shared.url, "live") as next_of:
        state = next_of("state")
        assert (state["subject"], state["answer"]["activity"]) == ("live", "WALK")
        assert next_of("day")["stretches"][-1][1] == first[-1].end_us
        assert next_of("answers")["answers"][0]["start_us"] == first[-1].start_us
        eventually(lambda: "live" in shared.store.watched())
        shared.store.write_signal("live", signal_until(now_us()))
        signal = next_of("signal")
        assert len(signal["values"]) == 6
        assert len(signal["values"][0]) == len(signal["times_us"]) == 300
        new = Answer(first[-1].start_us + STRIDE, first[-1].end_us + STRIDE, "RUN", 0.9, False, 3)
        shared.store.write([state_of("live", new)], {"live": [new]})
        assert next_of("state")["answer"]["activity"] == "RUN"
        got = next_of("answers")
        assert [one["activity"] for one in got["answers"]] == ["RUN"]
        assert got["stretches"][-1][2:] == ["RUN", False]
        # Its smoothed activity is known later; the band changes with it.
        shared.store.write([state_of("live", new)], {"live": [replace(new, smoothed="WALK")]})
        got = next_of("answers")
        assert [(one["activity"], one["shown"]) for one in got["answers"]] == [("RUN", "WALK")]
        assert got["stretches"][-1][2] == "WALK"


def test_a_stream_says_when_the_store_is_away_and_goes_on(streaming: ServeStreaming) -> None:
    served = streaming()
    answer = answers_until(now_us(), 1, ACTIVITIES)[0]
    served.store.write([state_of("s01", answer)], {"s01": [answer]})
    folder = served.service.settings.path("stream")
    with events(served.url, "s01") as next_of:
        next_of("state")
        served.store.close()
        folder.rename(folder.with_name("gone"))
        folder.write_text("a file in the folder's place")
        assert next_of("away")["remedy"]
        got = served.service.client.get("/subjects/s01")
        assert (got.status_code, got.json()["error"]["field"]) == (503, "hot store")
        assert got.headers["retry-after"] == "1"
        folder.unlink()
        folder.with_name("gone").rename(folder)
        later = replace(answer, start_us=answer.start_us + STRIDE, end_us=answer.end_us + STRIDE)
        served.store.write([state_of("s01", later)], {"s01": [later]})
        assert next_of("state")["answer"]["start_us"] == later.start_us


def test_a_stream_ends_with_the_service(streaming: ServeStreaming) -> None:
    """Drained: the stream is over at once, and the service does not wait for its client."""
    served = streaming()
    answer = answers_until(now_us(), 1, ACTIVITIES)[0]
    served.store.write([state_of("s01", answer)], {"s01": [answer]})
    with events(served.url, "s01") as next_of:
        next_of("state")
        served.begin_to_stop()
        with pytest.raises(EOFError):
            next_of("never")


def test_streams_have_a_number(streaming: ServeStreaming, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_STREAMS_SHARE", 32)
    served = streaming()
    answer = answers_until(now_us(), 1, ACTIVITIES)[0]
    served.store.write([state_of("s01", answer)], {"s01": [answer]})
    with events(served.url, "s01") as one, events(served.url, "s01") as other:
        one("state")
        other("state")
        refused = served.service.client.get("/subjects/s01/live")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert served.service.client.get("/subjects/s01").status_code == 200
    eventually(lambda: served.service.client.head("/subjects/s01/live").status_code == 200)
    with events(served.url, "s01") as again:
        again("state")


def test_a_stream_ends_with_the_visit(streaming: ServeStreaming) -> None:
    served = streaming(pages="token")
    tokens = served.service.settings.path("feedback_token")
    answer = answers_until(now_us(), 1, ACTIVITIES)[0]
    served.store.write([state_of("s01", answer)], {"s01": [answer]})
    add_token(tokens, "other")
    bearer = {**ELSEWHERE, "Authorization": f"Bearer {add_token(tokens, 'gym')}"}
    with httpx.Client(base_url=served.url) as client:
        assert client.get("/subjects/s01/live", headers=ELSEWHERE).status_code == 401
        begun = client.post("/login", headers=bearer)
        assert begun.json() == {"token": "gym"}
        cookies = dict(client.cookies)
    with events(served.url, "s01", headers=ELSEWHERE, cookies=cookies) as next_of:
        next_of("state")
        remove_token(tokens, "gym")
        with pytest.raises(EOFError):
            next_of("never")


def test_who_may_look(streaming: ServeStreaming) -> None:
    local = streaming()
    for path in ("/subjects", "/subjects/s01", "/subjects/s01/live", "/live", "/pages/live.js"):
        refused = local.service.client.get(path, headers=ELSEWHERE)
        assert (refused.status_code, refused.json()["error"]["field"]) == (403, "client"), path
    off = streaming(pages="off")
    for path in ("/subjects", "/subjects/s01", "/live", "/pages/live.js"):
        assert off.service.client.get(path).status_code == 404, path
    token = streaming(pages="token")
    assert token.service.client.get("/live", headers=ELSEWHERE).status_code == 200  # it holds nobody's data
    refused = token.service.client.get("/subjects", headers=ELSEWHERE)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


def test_a_visit_begins_and_ends(streaming: ServeStreaming) -> None:
    served = streaming(pages="token")
    token = add_token(served.service.settings.path("feedback_token"), "gym")
    with httpx.Client(base_url=served.url, headers=ELSEWHERE) as client:
        assert client.post("/login").status_code == 401
        assert client.post("/login", headers={"Authorization": "Bearer made-up-made-up-made"}).status_code == 401
        assert client.get("/login").status_code == 405
        assert client.post("/login", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert client.get("/subjects").status_code == 200
        assert client.post("/logout").status_code == 200
        assert client.get("/subjects").status_code == 401


def test_the_page_comes_from_the_service_alone(shared: Streaming) -> None:
    for name in FILES:
        path = "/live" if name == "live.html" else f"/pages/{name}"
        got = shared.service.client.get(path)
        assert got.status_code == 200
        policy = got.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert got.headers["x-content-type-options"] == "nosniff"
        assert "://" not in got.text.replace("http://www.w3.org", "")
        assert "innerHTML" not in got.text


def test_many_pages_ask_the_store_once_a_second(streaming: ServeStreaming, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_KEPT_S", 60.0)
    served = streaming()
    crowd(served.store, 3, ACTIVITIES)
    before = served.service.client.get("/subjects").json()
    crowd(served.store, 4, ACTIVITIES)
    found: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: found.append(httpx.get(f"{served.url}/subjects").json())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [before] * 4
