"""Who may write, how much feedback, and about how long an interval; what is let in carries its source.

A label trains models, so it is asked for more than a window is. Whoever calls from this machine, of a service that
listens on this machine alone, needs no token. All others do: as `Authorization: Bearer TOKEN`, with a token of the
file `paths.feedback_token` (`har.tokens`), which the first start makes and only its owner can read. The source names
the token, so that `har.log_lines.is_authenticated` can tell later whether a label is evidence.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

import psutil
from starlette.types import Scope

from bentos.online._contract import Feedback
from har.errors import RequestError
from har.log_lines import COMES_WITH
from har.settings import Settings
from har.tokens import Tokens, make_token

logger = logging.getLogger("bentoml.har.feedback")

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
        self.tokens = Tokens(self._file)
        """Also whoever opens the pages needs one of them."""
        self._always, self._longest_s = serving.feedback_token_always, serving.feedback_max_s
        self._rate = _Rate(serving.feedback_per_minute, clock)
        self._listens_beyond = listens_beyond if beyond is None else beyond
        self._beyond: bool | None = None

    def prepare(self) -> None:
        """Make the tokens' file, if there is none; without one, nobody from outside can give feedback."""
        try:
            make_token(self._file)
        except OSError as error:
            logger.warning("no token for feedback: %s: %s", self._file, error.strerror)

    def source(self, scope: Scope, headers: Headers) -> str:
        """Who sends a request, as far as it can be known.

        Raises:
            RequestError: a token is needed, and the request has none or another one.
        """
        who = sender(scope, headers)
        given = headers.get(b"authorization")
        if given is None and not self._always and self._is_local(who, headers):
            return who
        if not self.tokens.any:
            raise RequestError(
                where="Authorization",
                expected="a client on this machine, as the service has no token",
                got=who,
                remedy=f"Let the service write {self._file.name} (paths.feedback_token), or: har tokens add NAME.",
                status=403,
            )
        scheme, _, word = (given or b"").partition(b" ")
        name = self.tokens.name_of(word.strip()) if scheme.lower() == b"bearer" else None
        if name is None:
            raise RequestError(
                where="Authorization",
                expected=f"the header {_HEADER}",
                got="none" if given is None else "another token",
                remedy="The tokens are in the file paths.feedback_token of the service's project: har tokens list.",
                status=401,
            )
        return f"{who}{COMES_WITH}{name}"

    def is_local(self, scope: Scope, headers: Headers) -> bool:
        """Whether a request was made on this machine, by a program or by the service's own page."""
        return self._is_local(sender(scope, headers), headers)

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
        if self._beyond is None:
            self._beyond = self._listens_beyond()
        if self._beyond or not _is_loopback(who):
            return False
        # A page of the web can make a browser on this machine send a request: it cannot choose these headers.
        origin = headers.get(b"origin", b"").decode("latin-1").partition("://")[2]
        return _names_loopback(headers.get(b"host", b"").decode("latin-1")) and (
            b"origin" not in headers or _names_loopback(origin)
        )


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


def sender(scope: Scope, headers: Headers) -> str:
    """Where a request comes from, as far as the connection says."""
    client = scope.get("client")
    # A server may have replaced the address by what a proxy's header says, which anybody can write.
    return "a proxy" if any(name in headers for name in _FORWARDING) else client[0] if client else "a socket"


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
