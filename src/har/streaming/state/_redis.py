"""The hot store in a server that speaks Redis's protocol: Redis, Valkey and others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from har.errors import SettingsError, StateError, reason
from har.streaming.state._packed import (
    newest_start,
    pack_answer,
    pack_mapping,
    pack_signal,
    pack_state,
    unpack_answer,
    unpack_mapping,
    unpack_signal,
    unpack_state,
)
from har.streaming.state._state import REMEMBERED, WATCHED_US, Answer, Signal, SubjectState, now_us

PASSWORD_VARIABLE = "REDISCLI_AUTH"  # noqa: S105  the name of a variable, as redis-cli reads it
_SIGNAL_S = 3600
_COMMANDS = 2000
"""In one pipeline, so that neither side buffers all of a large batch."""


class RedisHotStore:
    """`HotStore` in a server; all keys begin with `prefix`.

        PREFIXsubject:NAME     hash: state, baseline
        PREFIXanswers:NAME     sorted set of packed answers, by start
        PREFIXsignal:NAME      string
        PREFIXseen             sorted set of names, by the wall clock of their last message
        PREFIXwatched          sorted set of names, by the moment at which the wish ends
        PREFIXledger           string

    Keys of a subject expire by themselves.

    Args:
        address: redis://[user:password@]host:port/number, or rediss:// for TLS. Without a password, that of the
            setting or of the variable `REDISCLI_AUTH` is used, if there is one.
        prefix: of all keys.
        keep_us: a subject that sent nothing for this long is forgotten, and answers older than its last one by this.
        clock: the present, in µs since 1970, UTC.
        password: of the setting; "": there is none.

    Raises:
        SettingsError: redis-py is not installed.
    """

    def __init__(
        self, address: str, prefix: str, keep_us: int, clock: Callable[[], int] = now_us, *, password: str = ""
    ) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise SettingsError(
                where="stream.hot.address",
                expected="redis-py, the client of such a server",
                got=reason(error),
                remedy="Run `pip install 'har-mlops[stream]'`, or leave the address empty for a file.",
            ) from error
        self._away = (redis.RedisError, OSError)
        self._address = address
        self._prefix = prefix
        self._keep_us = keep_us
        self._clock = clock
        self._trimmed: dict[str, int] = {}
        # One more try, for a connection that a restarted server has closed; the caller decides about later ones.
        self._server = redis.Redis.from_url(
            address,
            socket_connect_timeout=2,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 1),
            **_password(address, password),
        )

    def write(self, states: Sequence[SubjectState], answers: Mapping[str, Sequence[Answer]]) -> None:
        """See `HotStore`."""
        keep_ms = self._keep_us // 1000
        if len(self._trimmed) > REMEMBERED:
            self._trimmed.clear()
        with self._pipeline() as add:
            for state in states:
                key = self._key("subject", state.subject)
                fields: dict[str, bytes] = {"state": pack_state(state)}
                if state.baseline:
                    fields["baseline"] = pack_mapping(state.baseline)
                add("hset", key, mapping=fields)
                add("pexpire", key, keep_ms)
            for name, given in answers.items():
                key = self._key("answers", name)
                for answer in given:
                    add("zremrangebyscore", key, answer.start_us, answer.start_us)
                add("zadd", key, {pack_answer(answer): answer.start_us for answer in _last_by_start(given)})
                add("pexpire", key, keep_ms)
            for state in states:
                newest = newest_start(state, answers.get(state.subject, ()))
                if newest - self._trimmed.get(state.subject, 0) > self._keep_us // 100:  # each now and then
                    self._trimmed[state.subject] = newest
                    add("zremrangebyscore", self._key("answers", state.subject), "-inf", f"({newest - self._keep_us}")
            if states:
                add("zadd", self._key("seen"), {state.subject: state.seen_us for state in states})
                add("zremrangebyscore", self._key("seen"), "-inf", f"({self._clock() - self._keep_us}")

    def write_baselines(self, baselines: Mapping[str, Mapping[str, float]]) -> None:
        """See `HotStore`."""
        with self._pipeline() as add:
            for name, values in baselines.items():
                key = self._key("subject", name)
                add("hset", key, mapping={"baseline": pack_mapping(values)})
                add("pexpire", key, self._keep_us // 1000)

    def subjects(self) -> list[SubjectState]:
        """See `HotStore`."""
        with self._errors():
            names = self._names(self._server.zrange(self._key("seen"), self._oldest(), "inf", byscore=True))
            return self._states(sorted(names))

    def subject(self, name: str) -> SubjectState | None:
        """See `HotStore`."""
        with self._errors():
            seen_us = self._server.zscore(self._key("seen"), name)
            if seen_us is None or seen_us < self._oldest():
                return None
            return next(iter(self._states([name])), None)

    def answers(self, name: str, *, since_us: int = 0) -> list[Answer]:
        """See `HotStore`."""
        with self._errors():
            found = self._server.zrange(self._key("answers", name), f"({since_us}", "inf", byscore=True)
        return [unpack_answer(content) for content in cast(list[bytes], found)]

    def watch(self, name: str) -> None:
        """See `HotStore`."""
        now = self._clock()
        with self._pipeline() as add:
            add("zremrangebyscore", self._key("watched"), "-inf", f"({now}")
            add("zadd", self._key("watched"), {name: now + WATCHED_US})

    def watched(self) -> set[str]:
        """See `HotStore`."""
        with self._errors():
            return self._names(self._server.zrange(self._key("watched"), self._clock(), "inf", byscore=True))

    def write_signal(self, name: str, signal: Signal) -> None:
        """See `HotStore`."""
        with self._errors():
            self._server.set(self._key("signal", name), pack_signal(signal), ex=_SIGNAL_S)

    def signal(self, name: str) -> Signal | None:
        """See `HotStore`."""
        with self._errors():
            found = self._server.get(self._key("signal", name))
        return unpack_signal(cast(bytes, found)) if found else None

    def write_ledger(self, ledger: Mapping[str, Any]) -> None:
        """See `HotStore`."""
        with self._errors():
            self._server.set(self._key("ledger"), pack_mapping(ledger))

    def ledger(self) -> Mapping[str, Any]:
        """See `HotStore`."""
        with self._errors():
            found = self._server.get(self._key("ledger"))
        return unpack_mapping(cast(bytes, found)) if found else {}

    def clear(self) -> None:
        """See `HotStore`."""
        with self._errors():
            pattern = "".join(f"\\{letter}" if letter in "*?[]^\\" else letter for letter in self._prefix)
            batch: list[bytes] = []
            for key in self._server.scan_iter(match=f"{pattern}*", count=_COMMANDS):
                batch.append(key)
                if len(batch) == _COMMANDS:
                    self._server.unlink(*batch)
                    batch.clear()
            if batch:
                self._server.unlink(*batch)

    def close(self) -> None:
        """See `HotStore`."""
        self._server.close()

    def _states(self, names: Sequence[str]) -> list[SubjectState]:
        pipeline = self._server.pipeline(transaction=False)
        for name in names:
            pipeline.hmget(self._key("subject", name), ["state", "baseline"])
        return [unpack_state(*row) for row in pipeline.execute() if row[0]]

    @contextlib.contextmanager
    def _pipeline(self) -> Iterator[Callable[..., None]]:
        """Send what the block adds in batches; each is one transaction, so that readers see none in parts."""
        with self._errors():
            pipeline = self._server.pipeline()

            def add(command: str, *arguments: Any, **options: Any) -> None:
                getattr(pipeline, command)(*arguments, **options)
                if len(pipeline) >= _COMMANDS:
                    pipeline.execute()

            yield add
            if len(pipeline):
                pipeline.execute()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._away as error:
            raise StateError(
                where=f"stream.hot.address = {self._address}",
                expected="the hot store, a Redis or Valkey server",
                got=reason(error),
                remedy=(
                    "Start it, such as by `redis-server --bind 127.0.0.1 --port 6379` or "
                    "`make stack PROFILES=stream`, or leave the address empty for a file."
                ),
            ) from error

    def _oldest(self) -> int:
        return self._clock() - self._keep_us

    def _key(self, kind: str, name: str | None = None) -> str:
        return f"{self._prefix}{kind}" if name is None else f"{self._prefix}{kind}:{name}"

    @staticmethod
    def _names(found: Any) -> set[str]:
        return {name.decode() for name in found}


def _last_by_start(answers: Sequence[Answer]) -> list[Answer]:
    return list({answer.start_us: answer for answer in answers}.values())


def _password(address: str, password: str) -> dict[str, Any]:
    """The password that is not in the address: as an argument, it would override the one in it."""
    login = address.partition("://")[2].partition("/")[0].rpartition("@")[0]
    found = password or os.environ.get(PASSWORD_VARIABLE)
    return {"password": found} if found and ":" not in login else {}
