"""Who may give feedback, how much of it, and about how long an interval; what is let in carries its source.

A label trains models, so it is asked for more than a window is. Whoever calls from this machine, of a service that
listens on this machine alone, needs no token. All others do: as `Authorization: Bearer TOKEN`, with the content of the
file `paths.feedback_token`, which the first start makes and only its owner can read.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import psutil
from starlette.types import Scope

from bentos.online._contract import Feedback
from har.errors import RequestError
from har.settings import Settings

logger = logging.getLogger("bentoml.har.feedback")

_LEAST_CHARACTERS = 16
_FORWARDING = (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip")
"""Headers of a proxy. They say nothing that can be trusted, except that the client is somewhere else."""
_PER_SOURCE = 10
"""A source may give this many times the feedback that is allowed about one subject."""
_REMEMBERED = 10_000
_HEADER = "Authorization: Bearer TOKEN"

Headers = dict[bytes, bytes]


class Door:
    """Lets feedback in or refuses it.

    Args:
        settings: `serving.feedback_*` and `paths.feedback_token`.
        clock: seconds of a clock that never goes back.
        beyond: whether the service can be reached from other machines; by default, whether this process listens on an
            address that is not the machine's own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        beyond: Callable[[], bool] | None = None,
    ) -> None:
        serving = settings.serving
        self._file = settings.path("feedback_token")
        self._always, self._longest_s = serving.feedback_token_always, serving.feedback_max_s
        self._rate = _Rate(serving.feedback_per_minute, clock)
        self._listens_beyond = listens_beyond if beyond is None else beyond
        self._beyond: bool | None = None

    def prepare(self) -> None:
        """Make the token's file, if there is none; without one, nobody from outside can give feedback."""
        try:
            make_token(self._file)
        except OSError as error:
            logger.warning("no token for feedback: %s: %s", self._file, error.strerror)

    def source(self, scope: Scope, headers: Headers) -> str:
        """Who sends a request, as far as it can be known.

        Raises:
            RequestError: a token is needed, and the request has none or another one.
        """
        client = scope.get("client")
        # A server may have replaced the address by what a proxy's header says, which anybody can write.
        who = "a proxy" if any(name in headers for name in _FORWARDING) else client[0] if client else "a socket"
        given = headers.get(b"authorization")
        if given is None and not self._always and self._is_local(who, headers):
            return who
        token = self._token()
        if token is None:
            raise RequestError(
                where="Authorization",
                expected="feedback from this machine alone, as the service has no token",
                got=f"feedback from {who}",
                remedy=f"Let the service write {self._file.name} (paths.feedback_token), or put a token there.",
                status=403,
            )
        scheme, _, word = (given or b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(word.strip(), token):
            raise RequestError(
                where="Authorization",
                expected=f"the header {_HEADER}",
                got="none" if given is None else "another token",
                remedy="The token is in the file paths.feedback_token of the service's project.",
                status=401,
            )
        return f"{who}, with token"

    def admit(self, feedback: Feedback, source: str) -> None:
        """Count a feedback.

        Raises:
            RequestError: its interval is too long, or the source has given too many, about this subject or in all.
        """
        if feedback.start_us is not None and feedback.end_us is not None:
            seconds = (feedback.end_us - feedback.start_us) / 1e6
            if seconds > self._longest_s:
                raise RequestError(
                    where="end",
                    expected=f"an interval of at most {self._longest_s:g} s (serving.feedback_max_s)",
                    got=f"{seconds:g} s",
                    remedy="Send the parts that you are sure of, each as feedback of its own.",
                )
        self._rate.count(source, feedback.subject)

    def _is_local(self, who: str, headers: Headers) -> bool:
        """Whether the request was made on this machine, by a program or by the service's own page."""
        if self._beyond is None:
            self._beyond = self._listens_beyond()
        if self._beyond or not _is_loopback(who):
            return False
        # A page of the web can make a browser on this machine send a request: it cannot choose these headers.
        origin = headers.get(b"origin", b"").decode("latin-1").partition("://")[2]
        return _names_loopback(headers.get(b"host", b"").decode("latin-1")) and (
            b"origin" not in headers or _names_loopback(origin)
        )

    def _token(self) -> bytes | None:
        """The token now: a new one holds without a restart."""
        try:
            token = self._file.read_bytes().strip()
        except OSError:
            return None
        return token if len(token) >= _LEAST_CHARACTERS else None


class _Rate:
    """At most so many a minute, evenly: per source and subject, and ten times that per source."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._buckets: OrderedDict[tuple[str, str | None], tuple[float, float]] = OrderedDict()

    def count(self, source: str, subject: str | None) -> None:
        now = self._clock()
        self._take((source, None), _PER_SOURCE * self._per_minute, now, f"{source} in all")
        if subject is not None:
            self._take((source, subject), self._per_minute, now, f"{source} about subject {subject}")

    def _take(self, key: tuple[str, str | None], per_minute: int, now: float, about: str) -> None:
        left, since = self._buckets.pop(key, (float(per_minute), now))
        left = min(float(per_minute), left + (now - since) * per_minute / 60)
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        while len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        if left < 1:
            raise RequestError(
                where="feedback",
                expected=f"at most {per_minute} a minute from {about} (serving.feedback_per_minute)",
                got="one more",
                remedy="Retry after the seconds in Retry-After, or import a table of labels: har labels FILE.",
                status=429,
            )


def make_token(path: Path) -> None:
    """Write a random token to a file that only its owner can read, unless there is one; all workers get the same."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, secrets.token_urlsafe(32).encode() + b"\n")
    finally:
        os.close(file)
    try:
        draft.rename(path) if os.name == "nt" else os.link(draft, path)
    except FileExistsError:  # another worker was faster
        pass
    finally:
        draft.unlink(missing_ok=True)


def listens_beyond() -> bool:
    """Whether this process listens on an address that other machines can reach; yes, where it cannot be found out."""
    try:
        sockets = psutil.Process().net_connections(kind="tcp")
    except (psutil.Error, OSError) as error:
        logger.warning("cannot see what this service listens on (%s): feedback needs the token", error)
        return True
    return any(one.status == psutil.CONN_LISTEN and not _is_loopback(one.laddr.ip) for one in sockets)


def _names_loopback(host: str) -> bool:
    """Whether the host of a header, with its port or without, is this machine by one of its own names."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower() == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
