"""What the proxy refuses and hides before a request reaches Python, as lines of HAProxy's configuration (from 2.6 on).

- Only the routes of the online service exist; `/metrics` is none of them.
- A body has the size that its route takes. One without Content-Length has to fit into the proxy's buffer, which is
  waited for, so that nobody sends more by not saying how much.
- A client may send so many requests: each address, and each token, whichever is reached first.
- A body has to arrive in time, and an address has a number of connections.
- Answers name no server, and carry the headers that keep a browser from doing other things with them.

Refusals have the JSON form of the service, with the request's id.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from har.settings import Settings
from infra.serving.proxy.configuration import Options

HEADER_BYTES = 8 * 1024
"""Of all headers of a request together."""
UNANNOUNCED_BYTES = 40 * 1024
"""Of a body without Content-Length, for which the proxy waits; its buffer holds that beside the headers."""
BODY_S = 5
"""A body, or as much of it as the buffer holds, has to arrive within so many seconds."""
CONNECTIONS = 256
"""Of one address at the same time."""
RATE_S = 10
"""Requests are counted over so many seconds; a client that waits so long is let in again."""
LOOPBACK = ("127.0.0.0/8", "::1")

_METRICS = ("/metrics", "/metrics/")
_LABEL_POSTS = tuple(f"/label/{name}" for name in ("next", "answers", "skip", "undo"))
PATHS = (
    *("/", "/model", "/model/card", "/predict", "/predict/raw", "/feedback", "/samples"),
    *("/subjects", "/login", "/logout", "/live"),
    *(f"/pages/{name}" for name in ("live.css", "live.js", "access.js", "band.js", "colours.js", "signal.js")),
    *(f"/pages/{name}" for name in ("ledger.js", "subject.js", "table.js", "label.css", "label.js")),
    *("/label", "/label/agreement", *_LABEL_POSTS),
    *("/schema.json", "/docs.json", "/healthz", "/livez", "/readyz"),
    *(f"/static_content/{name}" for name in ("swagger-ui.css", "swagger-ui-bundle.js")),
)
"""Routes of the online service. `bentos` is not imported for them: a service must be the first to import the library,
and whoever releases has imported it already."""
SUBJECTS = "/subjects/[A-Za-z0-9._~%-]{1,400}(/live)?"
"""Further routes, of one subject each, whose name is percent-encoded."""
PAGE_SCRIPT = "sha256-Ntp0RAECky65OCziYrF0olg71y8uixpi51ELZ/IcHTs="
"""Of the script in the service's page, as browsers are told in the policy of content."""
_FEEDBACK_BYTES = 16 * 1024
_ANSWER_BYTES = 4096
_FORWARDING = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
_ID = "%[req.hdr(x-request-id)]"


@dataclass(frozen=True)
class Rules:
    """The limits of one proxy.

    Attributes:
        body_bytes: of the largest body by route; other routes take none.
        requests_per_minute: of one client; 0: no limit.
        here: addresses of clients that are on this machine: no rate holds for them, and they are not announced to the
            service as somebody else's. Empty where clients are always elsewhere, as in a container.
    """

    body_bytes: Mapping[str, int]
    requests_per_minute: int = 0
    here: Sequence[str] = LOOPBACK

    @classmethod
    def of(cls, settings: Settings, *, here: Sequence[str] = LOOPBACK) -> Rules:
        """The limits of a project, whose models take the windows of its settings."""
        serving = settings.serving
        values = serving.max_windows * settings.length * len(settings.sensors.channels)
        # As the service's `Contract` has them, with room for a champion of somewhat longer windows.
        sizes = {"/predict": 64 * 1024 + 40 * values, "/predict/raw": 5 * values, "/feedback": _FEEDBACK_BYTES}
        sizes["/samples"] = settings.stream.message_bytes
        sizes |= dict.fromkeys(_LABEL_POSTS, _ANSWER_BYTES)
        return cls(sizes, serving.requests_per_minute, here)


def guarded(options: Options, rules: Rules, *, tls: bool = False) -> Options:
    """A proxy's options with these rules.

    Args:
        options: without them.
        rules: the limits.
        tls: whether `options.bind` also listens with TLS.
    """
    return replace(
        options,
        settings=[*options.settings, "tune.http.maxhdr 64"],
        sections=[*options.sections, *_sections()],
        connections=[*options.connections, *_connections(rules)],
        frontend=[*_requests(rules, tls=tls), *options.frontend],
    )


def _sections() -> list[str]:
    """What counts requests by client; they serve nothing."""
    return [
        "backend clients_by_address\n"
        f"    stick-table type ipv6 size 100k expire 1m store http_req_rate({RATE_S}s),conn_cur\n",
        "backend clients_by_token\n"
        f"    stick-table type binary len 32 size 10k expire 1m store http_req_rate({RATE_S}s)\n",
    ]


def _connections(rules: Rules) -> list[str]:
    """Connections are counted as sc0, by address."""
    unless = " !here" if rules.here else ""
    return [
        *([f"acl here src {' '.join(rules.here)}"] if rules.here else []),
        "tcp-request connection track-sc0 src table clients_by_address",
        f"tcp-request connection reject if {{ sc_conn_cur(0) gt {CONNECTIONS} }}{unless}",
    ]


def _requests(rules: Rules, *, tls: bool) -> list[str]:
    """They use the counter sc1, the acls `here`, `known_path` and `announced`, and variables `txn.guard_…`."""
    return [
        *_forwarding(rules),
        *_size_of_headers(),
        *_routes(),
        *(_rates(rules) if rules.requests_per_minute else []),
        *_bodies(rules),
        *_answers(tls=tls),
    ]


def _refusal(status: int, field: str, expected: str, got: str, remedy: str, *headers: tuple[str, str]) -> str:
    """An `http-request` action that answers in the service's JSON form, without the condition.

    Texts may contain HAProxy's expressions, `%[…]`, whose values need no escapes in JSON.
    """
    return f"http-request deny {_json_answer(status, field, expected, got, remedy, *headers)}"


def _json_answer(status: int, field: str, expected: str, got: str, remedy: str, *headers: tuple[str, str]) -> str:
    error = {"field": field, "expected": expected, "got": got, "remedy": remedy}
    body = json.dumps({"error": error, "request_id": _ID}).replace("'", "’")
    given = "".join(f" hdr {name} {value}" for name, value in (("X-Request-Id", _ID), *headers))
    return f"status {status} content-type application/json lf-string '{body}'{given}"


def _forwarding(rules: Rules) -> list[str]:
    """Who sends such a header must not choose what the service takes for the sender; a proxy on this machine may."""
    elsewhere = " unless here" if rules.here else ""
    return [f"http-request del-header {name}{elsewhere}" for name in _FORWARDING]


def _size_of_headers() -> list[str]:
    got = "%[req.hdrs,length] bytes"
    action = _refusal(431, "headers", f"{HEADER_BYTES} bytes at most", got, "Send fewer or shorter headers.")
    return [f"{action} if {{ req.hdrs,length gt {HEADER_BYTES} }}"]


def _routes() -> list[str]:
    known = ", ".join(path for path in PATHS if not path.startswith(("/pages/", "/static_content/")))
    action = _refusal(404, "path", f"one of {known}, /subjects/NAME", "another one", "See /docs.json.")
    return [
        f"acl known_path path {' '.join(PATHS)}",
        f"acl of_subject path_reg ^{SUBJECTS}$",
        f"{action} unless known_path or of_subject",
        # What is logged names nobody.
        "http-request set-var(txn.path) str(/subjects/NAME) if of_subject",
    ]


def _rates(rules: Rules) -> list[str]:
    most = math.ceil(rules.requests_per_minute * RATE_S / 60)
    unless = " !here" if rules.here else ""
    actions = [
        _refusal(
            429,
            "requests",
            f"at most {most} in {RATE_S} s from one {whom} (serving.requests_per_minute)",
            "more",
            "Retry after the seconds in Retry-After; send several windows at once.",
            ("Retry-After", str(RATE_S)),
        )
        + f" if {{ sc_http_req_rate({counter}) gt {most} }}{unless}"
        for counter, whom in enumerate(("address", "token"))
    ]
    return [
        # A made-up token does not help: the address counts as well.
        "http-request track-sc1 req.fhdr(Authorization),sha2(256) table clients_by_token "
        "if { req.fhdr(Authorization) -m found }",
        *actions,
    ]


def _bodies(rules: Rules) -> list[str]:
    smaller = "Send the windows in several requests; /predict/raw takes a third of the bytes."
    lines = [
        # A message of HTTP/1.1 with both is refused by HAProxy; a body in chunks, or of HTTP/2, may have no length.
        "acl announced req.fhdr(Content-Length) -m found",
        f"http-request wait-for-body time {BODY_S}s at-least {UNANNOUNCED_BYTES + 1} unless announced",
        _refusal(
            413,
            "body",
            f"{UNANNOUNCED_BYTES} bytes at most without Content-Length",
            "more",
            "Send the header Content-Length.",
        )
        + f" if !announced {{ req.body_len gt {UNANNOUNCED_BYTES} }}",
    ]
    for path, size in rules.body_bytes.items():
        action = _refusal(413, "body", f"{size} bytes at most", "%[req.body_size] bytes", smaller)
        lines.append(f"{action} if {{ path {path} }} {{ req.body_size gt {size} }}")
    with_body = " ".join(rules.body_bytes)
    action = _refusal(413, "body", "none", "%[req.body_size] bytes", "Send no body to this route.")
    lines.append(f"{action} if !{{ path {with_body} }} {{ req.body_size gt 0 }}")
    # Who sends slowly what is announced holds a place here, not in a replica.
    lines.append(f"http-request wait-for-body time {BODY_S}s if announced")
    return lines


def _answers(*, tls: bool) -> list[str]:
    policy = (
        f"default-src 'none'; script-src 'self' '{PAGE_SCRIPT}'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
    }
    lines = [f'http-after-response set-header {name} "{value}"' for name, value in headers.items()]
    lines += [f"http-after-response del-header {name}" for name in ("Server", "X-Powered-By")]
    # What a model says about a person's movement belongs into no cache.
    lines.append("http-request set-var(txn.guard_uncached) bool(true) if METH_POST")
    lines.append("http-after-response set-header Cache-Control no-store if { var(txn.guard_uncached) -m bool }")
    if tls:
        # A browser would apply it to every other port of its own machine as well.
        lines += [
            # The service does not know that its client came with TLS.
            r'http-response replace-header Set-Cookie ^(har-visit-.*)$ "\1; Secure" if { ssl_fc }',
            "acl nameless req.fhdr(Host),host_only -i localhost 127.0.0.1",
            "http-request set-var(txn.guard_named) bool(true) unless nameless",
            "http-after-response set-header Strict-Transport-Security max-age=2592000 "
            "if { ssl_fc } { var(txn.guard_named) -m bool }",
        ]
    return lines
