"""Who may see the pages: this machine, a token, the cookie of a visit, or nobody."""

from __future__ import annotations

from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from serving_support import write_settings

from bentos.online._door import Door
from bentos.online._visitors import VISIT_S, Visitors
from har.errors import RequestError
from har.tokens import add_token, remove_token, rotate_token

HERE = {"type": "http", "client": ("127.0.0.1", 4000), "scheme": "http"}
ELSEWHERE = {"type": "http", "client": ("203.0.113.9", 4000), "scheme": "http"}
LOCAL = {b"host": b"127.0.0.1:3000"}

Make = Callable[..., Visitors]


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "data" / "feedback-token"


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Make:
    def visitors(pages: str, name: str = "test-project") -> Visitors:
        settings = write_settings(tmp_path)
        stream = settings.stream.model_copy(update={"pages": pages})
        project = settings.project.model_copy(update={"name": name})
        settings = settings.model_copy(update={"stream": stream, "project": project})
        return Visitors(settings, Door(settings, beyond=lambda: False), clock=clock)

    return visitors


def refused(visitors: Visitors, scope: dict[str, Any], headers: dict[bytes, bytes]) -> RequestError:
    with pytest.raises(RequestError) as found:
        visitors.source(scope, headers)
    return found.value


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"host": b"har.example.org", b"authorization": f"Bearer {token}".encode()}


def cookie(header: bytes) -> dict[bytes, bytes]:
    return {b"host": b"har.example.org", b"cookie": b"theme=dark; " + header.partition(b";")[0]}


def test_off_shows_nothing_to_nobody(make: Make) -> None:
    error = refused(make("off"), HERE, LOCAL)
    assert (error.status, "stream.pages" in error.remedy) == (404, True)


def test_by_default_this_machine_alone_sees_them(make: Make, tokens: Path) -> None:
    visitors = make("loopback")
    assert visitors.source(HERE, LOCAL) == "127.0.0.1"
    assert refused(visitors, ELSEWHERE, bearer(add_token(tokens, "gym"))).status == 403
    # A page of the web, or a proxy in front, is not this machine.
    assert refused(visitors, HERE, {**LOCAL, b"origin": b"https://evil.example"}).status == 403
    assert refused(visitors, HERE, {**LOCAL, b"x-forwarded-for": b"127.0.0.1"}).status == 403
    assert refused(visitors, HERE, {b"host": b"rebound.example"}).status == 403


def test_with_a_token_from_everywhere(make: Make, tokens: Path) -> None:
    visitors = make("token")
    assert refused(visitors, ELSEWHERE, {}).status == 403  # there is no token yet
    token = add_token(tokens, "gym")
    assert refused(visitors, ELSEWHERE, {}).status == 401
    assert refused(visitors, ELSEWHERE, bearer("made-up-made-up-made-up")).status == 401
    assert visitors.source(ELSEWHERE, bearer(token)) == "203.0.113.9, token gym"
    assert visitors.source(HERE, LOCAL) == "127.0.0.1"
    visitors.require_pages(ELSEWHERE, {})  # the page itself, which asks for the token


def test_a_visit_holds_for_half_a_day(make: Make, tokens: Path, clock: Clock) -> None:
    visitors = make("token")
    name, header = visitors.begin(ELSEWHERE, bearer(add_token(tokens, "gym")))
    assert name == "gym"
    (morsel,) = SimpleCookie(header.decode()).values()
    assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Strict", "/")
    assert int(morsel["max-age"]) == VISIT_S
    assert visitors.source(ELSEWHERE, cookie(header)) == "203.0.113.9, token gym"
    clock.now += VISIT_S - 1
    assert visitors.source(ELSEWHERE, cookie(header)) == "203.0.113.9, token gym"
    clock.now += 1
    assert refused(visitors, ELSEWHERE, cookie(header)).status == 401


def test_another_worker_knows_the_visit_and_another_project_does_not(make: Make, tokens: Path) -> None:
    _, header = make("token").begin(ELSEWHERE, bearer(add_token(tokens, "gym")))
    assert make("token").source(ELSEWHERE, cookie(header)) == "203.0.113.9, token gym"
    assert refused(make("token", "other"), ELSEWHERE, cookie(header)).status == 401


@pytest.mark.parametrize("change", [rotate_token, remove_token])
def test_a_visit_ends_with_its_token(make: Make, tokens: Path, change: Callable[[Path, str], Any]) -> None:
    visitors = make("token")
    add_token(tokens, "other")
    _, header = visitors.begin(ELSEWHERE, bearer(add_token(tokens, "gym")))
    change(tokens, "gym")
    assert refused(visitors, ELSEWHERE, cookie(header)).status == 401


def test_a_cookie_cannot_be_made_up(make: Make, tokens: Path, clock: Clock) -> None:
    visitors = make("token")
    add_token(tokens, "other")
    _, header = visitors.begin(ELSEWHERE, bearer(add_token(tokens, "gym")))
    name, value = header.partition(b";")[0].split(b"=")
    _, until, seal = value.split(b"|")
    later = str(int(until) + 60).encode()
    for made in (b"other|" + until + b"|" + seal, b"gym|" + later + b"|" + seal, b"gym|" + until + b"|", b"", b"|||",
                 b"gym|" + b"9" * 5000 + b"|" + seal, b"gym|" + until + b"|" + seal[:-1] + b"\xff"):  # fmt: skip
        assert refused(visitors, ELSEWHERE, {b"cookie": name + b"=" + made}).status == 401


def test_the_cookie_needs_tls_where_the_page_had_it(make: Make, tokens: Path) -> None:
    visitors = make("token")
    token = add_token(tokens, "gym")
    assert not visitors.begin(ELSEWHERE, bearer(token))[1].endswith(b"Secure")
    assert visitors.begin({**ELSEWHERE, "scheme": "https"}, bearer(token))[1].endswith(b"; Secure")
    behind = {**bearer(token), b"x-forwarded-proto": b"https"}
    assert visitors.begin(HERE, behind)[1].endswith(b"; Secure")


def test_nobody_begins_a_visit_without_a_token(make: Make, tokens: Path) -> None:
    add_token(tokens, "gym")
    for scope, headers in ((HERE, LOCAL), (ELSEWHERE, {}), (ELSEWHERE, bearer("made-up-made-up-made-up"))):
        with pytest.raises(RequestError) as found:
            make("token").begin(scope, headers)
        assert found.value.status == 401
    with pytest.raises(RequestError) as found:
        make("loopback").begin(ELSEWHERE, bearer("x" * 20))
    assert found.value.status == 403
