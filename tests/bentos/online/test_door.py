"""Who may give feedback: this machine without a token, everybody else with it, and nobody without bound."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving_support import Service, bentoml_serving, eventually, movements, write_settings

from bentos.online._contract import Feedback
from bentos.online._door import Door, listens_beyond
from har.errors import RequestError
from har.inference import Package
from har.log_lines import is_authenticated
from har.settings import Settings
from har.tokens import add_token, make_token, remove_token, rotate_token

Serve = Callable[..., Service]

LOCAL = {b"host": b"127.0.0.1:3000"}
ABOUT = {"activity": "RUN", "request_id": "a-1"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return write_settings(tmp_path / "project", feedback_per_minute=3, feedback_max_s=600.0)


def door(settings: Settings, *, beyond: bool = False, now: list[float] | None = None) -> Door:
    made = Door(settings, clock=lambda: now[0] if now else 0.0, beyond=lambda: beyond)
    made.prepare()
    return made


def source(door: Door, headers: dict[bytes, bytes], peer: str | None = "127.0.0.1") -> str:
    return door.source({"type": "http", "client": (peer, 5) if peer else None}, headers)


def refusal(call: Callable[[], Any]) -> RequestError:
    with pytest.raises(RequestError) as caught:
        call()
    return caught.value


def bearer(settings: Settings) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + settings.path("feedback_token").read_bytes().strip()}


@pytest.mark.parametrize("host", [b"127.0.0.1:3000", b"localhost", b"LOCALHOST:1", b"[::1]:3000", b"127.8.8.8"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_needs_no_token(settings: Settings, host: bytes, peer: str) -> None:
    assert source(door(settings), {b"host": host, b"origin": b"http://localhost:3000"}, peer) == peer
    assert source(door(settings), {b"host": host}, peer) == peer


@pytest.mark.parametrize(
    ("headers", "peer"),
    [
        (LOCAL, "10.0.0.7"),
        (LOCAL, "2001:db8::1"),
        (LOCAL, "::ffff:10.0.0.7"),
        (LOCAL, None),
        # What a proxy on this machine passes on; an address that the client made up changes nothing.
        *(
            ({**LOCAL, name: b"127.0.0.1"}, "127.0.0.1")
            for name in (b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip", b"x-forwarded-host")
        ),
        # Pages of the web: a name that was made to point here, and another origin.
        ({b"host": b"evil.example:3000"}, "127.0.0.1"),
        ({b"host": b"localhost.evil.example"}, "127.0.0.1"),
        ({b"host": b"127.0.0.1.evil.example"}, "127.0.0.1"),
        ({}, "127.0.0.1"),
        ({**LOCAL, b"origin": b"https://evil.example"}, "127.0.0.1"),
        ({**LOCAL, b"origin": b"null"}, "127.0.0.1"),
    ],
)
def test_everybody_else_does(settings: Settings, headers: dict[bytes, bytes], peer: str | None) -> None:
    one = door(settings)
    refused = refusal(lambda: source(one, headers, peer))
    assert (refused.status, refused.where) == (401, "Authorization")
    assert source(one, {**headers, **bearer(settings)}, peer).endswith(", token first")
    for wrong in (b"Bearer x", b"Bearer ", b"Basic " + bearer(settings)[b"authorization"][7:], b"", b"Bearer \xff\xfe"):
        assert refusal(lambda given=wrong: source(one, {**headers, b"authorization": given}, peer)).status == 401


def test_a_wrong_token_is_refused_from_this_machine_too(settings: Settings) -> None:
    assert refusal(lambda: source(door(settings), {**LOCAL, b"authorization": b"Bearer x"})).status == 401


def test_a_service_for_other_machines_asks_everybody(settings: Settings) -> None:
    assert refusal(lambda: source(door(settings, beyond=True), LOCAL)).status == 401
    assert source(door(settings, beyond=True), {**LOCAL, **bearer(settings)}) == "127.0.0.1, token first"


def test_behind_a_proxy_that_adds_no_header(tmp_path: Path) -> None:
    settings = write_settings(tmp_path / "proxied", feedback_token_always=True)
    assert refusal(lambda: source(door(settings), LOCAL)).status == 401


def test_the_token_is_secret_stays_and_can_be_replaced(settings: Settings) -> None:
    path = settings.path("feedback_token")
    one = door(settings, beyond=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = path.read_bytes()
    assert len(first) > 40
    door(settings)
    assert path.read_bytes() == first
    path.write_text("another-token-of-an-operator\n")
    assert source(one, {**LOCAL, b"authorization": b"bearer another-token-of-an-operator"})
    for useless in ("", "short"):
        path.write_text(useless)
        assert refusal(lambda: source(one, {**LOCAL, b"authorization": b"Bearer short"})).status == 403
    path.unlink()
    assert refusal(lambda: source(one, LOCAL)).status == 403


def test_each_token_has_a_name_and_can_be_replaced_while_the_service_runs(settings: Settings) -> None:
    path, one = settings.path("feedback_token"), door(settings, beyond=True)
    first = path.read_text().strip()

    def who(token: str) -> str | None:
        try:
            return source(one, {b"authorization": f"Bearer {token}".encode()}, "10.0.0.7")
        except RequestError as error:
            assert error.status == 401
            return None

    tablet, diary = add_token(path, "tablet"), add_token(path, "diary")
    assert who(first) == "10.0.0.7, token first"
    assert [who(tablet), who(diary)] == ["10.0.0.7, token tablet", "10.0.0.7, token diary"]
    newer = rotate_token(path, "tablet")
    assert [who(tablet), who(newer), who(diary)] == [None, "10.0.0.7, token tablet", "10.0.0.7, token diary"]
    remove_token(path, "diary")
    assert [who(diary), who(newer), who(first)] == [None, "10.0.0.7, token tablet", "10.0.0.7, token first"]
    # A name is no token, nor is a line.
    assert [who("tablet"), who(f"tablet:{newer}"), who("")] == [None, None, None]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("10.0.0.7, token gym-1", True),
        ("a proxy, with token", True),
        *((source, False) for source in ("127.0.0.1", "a proxy", "a socket", "a service of the same bento", None, "")),
    ],
)
def test_only_feedback_with_a_token_is_authenticated(source: str | None, expected: bool) -> None:
    assert is_authenticated(source) is expected


def test_workers_that_start_together_get_one_token(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "token"
    threads = [threading.Thread(target=make_token, args=(path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.name for one in path.parent.iterdir()] == ["token"]
    assert len(path.read_bytes().strip()) > 40


def test_a_folder_that_cannot_be_written_refuses_the_others_only(settings: Settings) -> None:
    settings.path("feedback_token").parent.mkdir(parents=True, exist_ok=True)
    (settings.root / "file").write_text("no folder")
    blocked = settings.model_copy(
        update={"paths": settings.paths.model_copy(update={"feedback_token": Path("file/token")})}
    )
    one = door(blocked)
    assert source(one, LOCAL) == "127.0.0.1"
    assert refusal(lambda: source(one, LOCAL, "10.0.0.7")).status == 403


def about(subject: str | None, seconds: float = 60.0) -> Feedback:
    if subject is None:
        return Feedback("RUN", "a-1")
    return Feedback("RUN", None, subject, 0, round(1e6 * seconds))


def test_a_source_and_a_subject_have_a_rate(settings: Settings) -> None:
    now = [100.0]
    one = door(settings, now=now)
    for _ in range(3):
        one.admit(about("s01"), "10.0.0.7")
    refused = refusal(lambda: one.admit(about("s01"), "10.0.0.7"))
    assert (refused.status, "subject s01" in refused.expected) == (429, True)
    one.admit(about("s02"), "10.0.0.7")
    one.admit(about("s01"), "10.0.0.8")
    now[0] += 20
    one.admit(about("s01"), "10.0.0.7")
    assert refusal(lambda: one.admit(about("s01"), "10.0.0.7")).status == 429


def test_other_names_do_not_lift_the_rate_of_a_source(settings: Settings) -> None:
    one = door(settings)
    for number in range(30):
        one.admit(about(f"s{number}" if number % 2 else None), "10.0.0.7")
    assert "in all" in refusal(lambda: one.admit(about("s99"), "10.0.0.7")).expected
    one.admit(about("s99"), "10.0.0.8")


def test_an_interval_has_a_longest_length(settings: Settings) -> None:
    one = door(settings)
    one.admit(about("s01", 600.0), "x")
    refused = refusal(lambda: one.admit(about("s01", 600.001), "x"))
    assert (refused.status, refused.where) == (422, "end")
    assert "serving.feedback_max_s" in refused.expected


@pytest.mark.stack
def test_over_http(serve: Serve, package: Package) -> None:
    local = serve(package, shadow_share=0.0)
    known = local.predict(movements(1))["request_id"]
    body = {"activity": "RUN", "request_id": known}
    assert not listens_beyond()
    assert local.client.post("/feedback", json=body).status_code == 202
    (line,) = eventually(lambda: local.lines("feedback"))
    assert line["source"] == "127.0.0.1"
    spoofed = local.client.post("/feedback", json=body, headers={"X-Forwarded-For": "127.0.0.1"})
    assert spoofed.status_code == 401

    wide = serve(package, host="0.0.0.0", shadow_share=0.0)  # noqa: S104  that is the question
    assert listens_beyond()
    refused = httpx.post(f"{wide.url}/feedback", json=body)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert refused.json()["error"].keys() == {"field", "expected", "got", "remedy"}
    token = wide.settings.path("feedback_token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.post(f"{wide.url}/feedback", json=body, headers=headers).status_code == 202
    (line,) = eventually(lambda: wide.lines("feedback"))
    assert line["source"] == "127.0.0.1, token first"


@pytest.mark.stack
def test_behind_bentoml(model_store: Path, tmp_path: Path) -> None:
    """Its workers get the socket from another process, and see what it is bound to all the same."""
    with bentoml_serving(model_store, tmp_path / "wide", host="0.0.0.0") as served:  # noqa: S104  that is the question
        assert served.client.post("/feedback", json=ABOUT).status_code == 401
        token = served.settings.path("feedback_token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        assert served.client.post("/feedback", json=ABOUT, headers=headers).status_code == 202
        for path in ("/feedback/", "//feedback", "/feedback?x", "/./feedback"):
            assert served.client.post(path, json=ABOUT).status_code >= 300, path


@pytest.mark.stack
def test_windows_need_a_token_where_the_project_says_so(serve: Serve, package: Package) -> None:
    """From elsewhere, and before the body is read; on this machine nothing changes."""
    service = serve(package, shadow_share=0.0, predict_token=True)
    windows = {"windows": movements(1).tolist()}
    assert service.client.post("/predict", json=windows).status_code == 200
    elsewhere = {"X-Forwarded-For": "203.0.113.9"}
    for path, body in (("/predict", {"json": windows}), ("/predict/raw", {"content": b"no window at all"})):
        refused = service.client.post(path, headers=elsewhere, **body)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    token = add_token(service.settings.path("feedback_token"), "gym")
    let_in = service.client.post("/predict", json=windows, headers={**elsewhere, "Authorization": f"Bearer {token}"})
    assert let_in.status_code == 200
    assert service.client.get("/readyz", headers=elsewhere).status_code == 200
