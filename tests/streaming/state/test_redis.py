"""The hot store in a server."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import redis as client
from hot_support import KEEP_US, Clock, RedisServer, answer, redis_server, state

from har.errors import SettingsError, StateError
from har.streaming.state import open_hot
from har.streaming.state._redis import PASSWORD_VARIABLE, RedisHotStore
from har.streaming.state._state import now_us


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def test_the_settings_name_the_server_and_the_project_its_keys(redis: RedisServer, change) -> None:
    settings = change(stream={"hot": {"address": redis.address, "keep_h": 2.0}})
    hot = open_hot(settings)
    hot.write([state("S01", seen_us=now_us())], {"S01": [answer()]})

    with client.Redis.from_url(redis.address) as server:
        names = [key.decode() for key in server.keys(f"har:{settings.project.name}:*")]
        kept = [server.pttl(name) for name in names if ":S01" in name]
    hot.close()

    assert sorted(names) == [f"har:{settings.project.name}:{kind}" for kind in ("answers:S01", "seen", "subject:S01")]
    assert all(0 < ms <= 2 * 3_600_000 for ms in kept)


def test_the_password_may_come_from_the_environment(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"redis://127.0.0.1:{redis.port}/0"
    bare = RedisHotStore(address, "har:env:", KEEP_US, Clock())
    with pytest.raises(StateError, match=rf"127\.0\.0\.1:{redis.port}.*(?i:auth)"):
        bare.subjects()
    bare.close()
    monkeypatch.setenv(PASSWORD_VARIABLE, "secret")

    hot = RedisHotStore(address, "har:env:", KEEP_US, Clock())
    hot.write_ledger({"received": 1})

    assert hot.ledger() == {"received": 1}
    hot.close()


def test_the_password_may_be_in_a_file(redis: RedisServer, change) -> None:
    hot = {"address": f"redis://127.0.0.1:{redis.port}/0", "password_file": "data/hot-password"}
    settings = change(stream={"hot": hot})
    with pytest.raises(SettingsError, match=r"stream\.hot\.password_file.*chmod 600"):
        open_hot(settings)
    path = settings.root / "data" / "hot-password"
    path.parent.mkdir()
    path.write_text("secret\n")

    store = open_hot(settings)
    store.write_ledger({"received": 2})

    assert store.ledger() == {"received": 2}
    store.close()


def test_the_error_of_a_wrong_password_hides_it(redis: RedisServer) -> None:
    hot = RedisHotStore(f"redis://:wr0ng@127.0.0.1:{redis.port}/0", "har:", KEEP_US, Clock())

    with pytest.raises(StateError) as raised:
        hot.write([state("S01")], {})

    assert "wr0ng" not in str(raised.value)
    hot.close()


def test_a_server_that_is_away_is_an_error_that_says_how_to_start_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        hot = RedisHotStore(f"redis://127.0.0.1:{taken.getsockname()[1]}/0", "har:", KEEP_US, Clock())
        for use in (hot.subjects, lambda: hot.write([state("S01")], {}), lambda: hot.watch("S01"), hot.clear):
            with pytest.raises(StateError, match=r"stream\.hot\.address = redis://127.*redis-server --bind"):
                use()
        hot.close()


def test_the_same_client_goes_on_after_the_server_was_killed() -> None:
    with redis_server() as server:
        hot = RedisHotStore(server.address, "har:", KEEP_US, Clock())
        hot.write([state("S01")], {})
        server.stop()
        with pytest.raises(StateError):
            hot.write([state("S02")], {})
        server.start()

        hot.write([state("S02")], {})

        assert "S02" in [found.subject for found in hot.subjects()]
        hot.close()


def test_two_projects_share_a_server(redis: RedisServer) -> None:
    one, other = (RedisHotStore(redis.address, f"har:{name}:", KEEP_US, Clock()) for name in ("a*", "ab"))
    one.write([state("S01")], {})
    other.write([state("S02")], {})

    one.clear()

    assert one.subjects() == []
    assert other.subject("S02") is not None
    one.close()
    other.close()
