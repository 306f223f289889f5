"""Who may open the pages and read what the stream knows about people: `stream.pages` says it.

A browser's stream of events cannot send headers, and a token in a URL would stand in logs and histories. So a page
sends the token once, to `POST /login`, and gets a cookie that no script can read and no other site can use. It names
the token, ends after `VISIT_S`, and is signed with the token's digest: every worker and replica can check it, none has
to remember it, and it ends when the token is replaced or taken away.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable

from starlette.types import Scope

from bentos.online._door import Door, Headers, sender
from har.errors import RequestError
from har.log_lines import COMES_WITH
from har.settings import Settings

VISIT_S = 12 * 3600
"""A working day; then the token is asked for again."""


class Visitors:
    """Lets readers of the pages in, or refuses them.

    Args:
        settings: `stream.pages`, and the project's name: two projects on one machine have cookies of their own.
        door: knows who is on this machine, and the tokens.
        clock: seconds since 1970.
    """

    def __init__(self, settings: Settings, door: Door, *, clock: Callable[[], float] = time.time) -> None:
        self._pages, self._door, self._clock = settings.stream.pages, door, clock
        self.cookie = f"har-visit-{hashlib.sha256(settings.project.name.encode()).hexdigest()[:8]}"

    def require_pages(self, scope: Scope, headers: Headers) -> None:
        """Whether a page may be shown to this client at all, which holds nobody's data yet.

        Raises:
            RequestError: pages are off, or for this machine only.
        """
        if self._pages == "off":
            raise RequestError(
                where="path",
                expected="a service that shows pages",
                got="one with stream.pages = off",
                remedy='Set stream.pages = "loopback" or "token" in har.toml.',
                status=404,
            )
        if self._pages == "loopback" and not self._door.is_local(scope, headers):
            raise RequestError(
                where="client",
                expected="one on this machine (stream.pages = loopback)",
                got=sender(scope, headers),
                remedy='Set stream.pages = "token", and give whoever may look a token: har tokens add NAME.',
                status=403,
            )

    def source(self, scope: Scope, headers: Headers) -> str:
        """Who asks for data of people: on this machine everybody may; others need a token or the cookie of a visit.

        Whoever has the cookie is known by its token on this machine, too.

        Raises:
            RequestError: pages are off, or the client may not see them.
        """
        self.require_pages(scope, headers)
        who = sender(scope, headers)
        if b"authorization" not in headers:
            name = self._visitor(headers)
            if name is not None:
                return f"{who}{COMES_WITH}{name}"
            if self._door.is_local(scope, headers):
                return who
        return self._door.source(scope, headers)

    def begin(self, scope: Scope, headers: Headers) -> tuple[str, bytes]:
        """The name of the token in `Authorization`, and the header Set-Cookie of a visit.

        Raises:
            RequestError: the client may not see the pages, or has no token.
        """
        self.require_pages(scope, headers)
        if b"authorization" not in headers:
            raise RequestError(
                where="Authorization",
                expected="the header Authorization: Bearer TOKEN",
                got="none",
                remedy="The tokens are in the file paths.feedback_token of the service's project: har tokens list.",
                status=401,
            )
        name = self._door.source(scope, headers).rpartition(COMES_WITH)[2]
        until = int(self._clock()) + VISIT_S
        return name, self._set_cookie(f"{name}|{until}|{self._seal(name, until)}", VISIT_S, scope, headers)

    def end(self, scope: Scope, headers: Headers) -> bytes:
        """The header Set-Cookie that ends a visit."""
        return self._set_cookie("", 0, scope, headers)

    def _visitor(self, headers: Headers) -> str | None:
        """The name of the token that the cookie stands for; None: no cookie, or one that holds no more."""
        begin = f"{self.cookie}=".encode()
        parts = (part.strip() for part in headers.get(b"cookie", b"").split(b";"))
        value = next((part[len(begin) :] for part in parts if part.startswith(begin)), b"")
        name, _, rest = value.decode("latin-1").partition("|")
        until, _, seal = rest.partition("|")
        if not re.fullmatch("[0-9]{1,12}", until) or int(until) <= self._clock():
            return None
        expected = self._seal(name, int(until))
        return name if expected is not None and hmac.compare_digest(expected.encode(), seal.encode()) else None

    def _seal(self, name: str, until: int) -> str | None:
        key = self._door.tokens.digest_of(name)
        return None if key is None else hmac.digest(key, f"visit|{name}|{until}".encode(), "sha256").hex()

    def _set_cookie(self, value: str, age_s: int, scope: Scope, headers: Headers) -> bytes:
        # Anybody can write the header, but who does only gets a cookie of his own that needs TLS.
        safe = scope.get("scheme") == "https" or headers.get(b"x-forwarded-proto") == b"https"
        text = f"{self.cookie}={value}; Max-Age={age_s}; Path=/; HttpOnly; SameSite=Strict{'; Secure' if safe else ''}"
        return text.encode()
