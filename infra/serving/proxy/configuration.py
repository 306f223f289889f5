"""The configuration of HAProxy: who is served by which version, what is tried again, and what waits.

One text for the processes of `make up` (a backend has slots, which the keeper fills through the runtime socket) and for
the stack in containers (a backend is a box with a name). What it promises is written in docs/how-to/replicas.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from har.errors import SettingsError
from har.log_lines import REQUEST_ID
from har.release import BUCKETS
from infra.serving.proxy.split import BACKENDS, KEY, Backend

MAP, STATE, DECODER = "split.map", "servers.state", "subject.lua"
"""Files in the proxy's working folder: the rule, the servers' last state, and a decoder of JSON's escapes."""
METRICS = "/proxy/metrics"
"""What HAProxy counts, for Prometheus; from this machine only."""
HEALTH = "/proxy/healthz"
"""Answers 200 while the proxy runs, whether or not a replica does."""
BUFFER_BYTES = 65_536
"""A body that does not fit is passed on before all of it has come: a subject is seen in its first part only."""

_LEAST_ANSWER_S = 5.0
_ID = "[A-Za-z0-9._-]{1,64}"
if f"^{_ID}$" != REQUEST_ID:  # the service and the lake take exactly these
    raise AssertionError("the proxy's pattern of a request id differs from har.log_lines.REQUEST_ID")

DECODE = """\
-- The subject of a JSON body whose letters are written as \\u escapes, which HAProxy itself does not decode.
core.register_converters("subject_of", function(body)
  local name = body:match('"subject"%s*:%s*"([^"]*)"') or ""
  return (name:gsub("\\\\u(%x%x%x%x)", function(code) return utf8.char(tonumber(code, 16)) end))
end)
"""
"""The content of the file `DECODER`."""


@dataclass(frozen=True)
class Options:
    """What differs between the places.

    Attributes:
        bind: what the frontend listens on, each as HAProxy's `bind` takes it: "127.0.0.1:3000".
        socket: path of the runtime socket.
        socket_mode: who may connect to it; the folder may keep others out.
        concurrency: requests at once per replica (serving.max_concurrency × serving.workers).
        timeout_s: of a request in the service (serving.timeout_s).
        slots: of each backend; the keeper fills them.
        boxes: in place of slots, the replicas of each backend, each as `name:port`, found by the engine's DNS.
        lua: this HAProxy has Lua; without it, a subject that JSON writes with \\u escapes is split by connection.
        local: everybody who connects is on this machine, and is no less local to the service because of the proxy.
        connections: further lines of the frontend about connections, ahead of all about requests.
        frontend: further lines of the frontend, before requests are looked at: limits, headers.
        sections: further sections, each with its title.
        settings: further lines of the section `global`.
    """

    bind: Sequence[str]
    socket: str
    concurrency: int
    timeout_s: float
    slots: int = 16
    socket_mode: str = "600"
    boxes: Mapping[Backend, Sequence[str]] = field(default_factory=dict)
    lua: bool = True
    local: bool = True
    connections: Sequence[str] = ()
    frontend: Sequence[str] = ()
    sections: Sequence[str] = ()
    settings: Sequence[str] = ()


def figures_section(bind: str) -> str:
    """A section for `Options.sections`: what HAProxy counts, and whether it runs, on a port of its own."""
    return f"""frontend figures
    bind {bind}
    monitor-uri /healthz
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request deny deny_status 404
"""


def configuration(options: Options) -> str:
    """The content of haproxy.cfg; the proxy has to run in the folder of `MAP`, `STATE` and `DECODER`."""
    parts = [
        _global(options),
        *([_RESOLVERS] if options.boxes else []),
        _defaults(options),
        _frontend(options),
        _REFUSALS,
        *(_backend(name, options) for name in BACKENDS),
        *options.sections,
    ]
    return "# Written by the keeper of the online service.\n" + "\n".join(parts)


def refusal(status: int, expected: str, got: str, remedy: str, *, field: str = "request") -> str:
    """The arguments of `http-error` or `http-request return` for a refusal as the service writes its own."""
    body = f'{{"error":{{"field":"{field}","expected":"{expected}","got":"{got}","remedy":"{remedy}"}}}}'
    retry = " hdr Retry-After 1" if status in (429, 503) else ""
    return f"status {status} content-type application/json string '{body}'{retry}"


def quoted(text: str) -> str:
    """A word of the configuration: a path may have blanks.

    Raises:
        SettingsError: it has a quote, which no word can have.
    """
    if "'" in text or "\n" in text:
        raise SettingsError(
            where=text, expected="a path without quotes", got="one with", remedy="Move the project to another folder."
        )
    return f"'{text}'"


_BUSY = refusal(503, "room for one more request", "as many as the replicas take", "Retry after the seconds given.")
_ERRORS = (
    refusal(400, "a request in HTTP/1.1", "something else", "See /docs.json."),
    refusal(408, "a whole request in time", "a part of one", "Send it again."),
    refusal(502, "an answer", "a connection that broke", "Send it again."),
    refusal(503, "a replica that has room", "none", "Retry after the seconds given."),
    refusal(504, "an answer in time", "none", "Send it again, with fewer windows."),
)


def _global(options: Options) -> str:
    return f"""global
    # Sentences, such as that a replica is down; requests are logged as JSON, by the frontend.
    log stderr format raw local0 notice
    stats socket {quoted(options.socket)} mode {options.socket_mode} level admin
    stats timeout 30s
    server-state-file {STATE}
{_lines([f"lua-load {DECODER}"] if options.lua else [])}    maxconn 2048
    tune.bufsize {BUFFER_BYTES}
    hard-stop-after 60s
{_lines(options.settings)}"""


_RESOLVERS = """resolvers engine
    parse-resolv-conf
    resolve_retries 2
    timeout resolve 1s
    timeout retry 1s
    hold valid 1s
"""


def _defaults(options: Options) -> str:
    forwarded = "    option forwardfor" + (" except 127.0.0.0/8" if options.local else "")
    answer_s = max(_LEAST_ANSWER_S, options.timeout_s + 2)
    return f"""defaults
    mode http
    log global
    option dontlognull
    option abortonclose
{forwarded}
    option redispatch 1
    # Each retry goes to another replica; the last one has been waited for by then.
    retries 2
    # Also the pause before a retry that finds no other replica.
    timeout connect {"1s" if options.boxes else "300ms"}
    timeout queue {_ms(options.timeout_s)}
    timeout client 30s
    timeout server {_ms(answer_s)}
    timeout http-request 10s
    timeout http-keep-alive 60s
    load-server-state-from-file global
{_lines([f"http-error {error}" for error in _ERRORS])}"""


_LOG = (
    # The keys of har.logs, and the request's id under the name that it has there.
    '{"time":"%[var(txn.time)]","level":"INFO","logger":"proxy",'
    '"message":"%HM %[var(txn.path),json(utf8s)] %ST","service":"proxy","request_id":"%[var(txn.request_id)]",'
    '"method":"%HM","path":"%[var(txn.path),json(utf8s)]","status":%ST,"backend":"%b","server":"%s",'
    '"ms":%Ta,"wait_ms":%Tw,"connect_ms":%Tc,"answer_ms":%Tr,"retries":%rc,"bytes":%B,"ended":"%ts"}'
)


def _frontend(options: Options) -> str:
    outside = [] if options.local else ["http-request del-header X-Forwarded-For"]
    binds = [f"bind {address}" for address in options.bind]
    full = [
        f"http-request return {_BUSY} if {{ var(txn.to) -m str {name} }} {{ queue({name}) ge {options.concurrency} }}"
        for name in BACKENDS
    ]
    lines = [
        *binds,
        f"monitor-uri {HEALTH}",
        *options.connections,
        "no log",
        "log stdout format raw local0 info",
        "unique-id-format %[uuid()]",
        f"log-format '{_LOG}'",
        "http-request set-var(txn.time) date,utime(%Y-%m-%dT%H:%M:%SZ)",
        "http-request set-var(txn.path) path",
        f"http-request set-header X-Request-ID %[unique-id] unless {{ req.hdr(x-request-id) -m reg ^{_ID}$ }}",
        "http-request set-var(txn.request_id) req.hdr(x-request-id)",
        "# An answer of the proxy's own has the request's id, too.",
        "http-after-response set-header X-Request-ID %[var(txn.request_id)]"
        " if { var(txn.request_id) -m found } !{ res.hdr(x-request-id) -m found }",
        f"http-request set-log-level silent if {{ path {METRICS} }}",
        f"http-request set-query no-maint if {{ path {METRICS} }}",  # the empty slots
        f"http-request use-service prometheus-exporter if {{ path {METRICS} }} {{ src 127.0.0.0/8 }}",
        *outside,
        *options.frontend,
        "# Each replica counts its own: Prometheus asks them all.",
        f"http-request return {_NO_METRICS} if {{ path /metrics /metrics/ {METRICS} }}",
        "",
        "acl predicts path /predict /predict/raw",
        "acl named req.hdr(x-subject) -m found",
        "acl asked url_param(subject) -m found",
        f"http-request wait-for-body time {_ms(options.timeout_s)} if METH_POST {{ path /predict }} !named",
        "http-request set-var(txn.key) req.hdr(x-subject) if predicts named",
        "http-request set-var(txn.key) url_param(subject),url_dec(1) if predicts asked !named { path /predict/raw }",
        "http-request set-var(txn.key) req.body,json_query('$.subject') if { path /predict } !named",
        *([_ESCAPED] if options.lua else []),
        "http-request set-var(txn.port) src_port",
        "http-request set-var(txn.key) src,concat(:,txn.port) unless { var(txn.key) -m len gt 0 }",
        "",
        f"http-request set-var(txn.split) str({KEY}),map_str({MAP})",
        *(
            f"http-request set-var(txn.{name}) var(txn.split),field({number},|)"
            for number, name in enumerate(("share", "until", "salt", "stable", "canary", "former"), start=1)
        ),
        "http-request set-var(txn.hash) var(txn.key),concat(:,txn.salt),sha2(256),bytes(0,4),be2dec(,4)",
        f"http-request set-var(txn.bucket) var(txn.hash),mod({BUCKETS})",
        "acl held date,neg,add(txn.until) -m int gt 0",
        "acl drawn var(txn.bucket),sub(txn.share) -m int lt 0",
        "http-request set-var(txn.to) var(txn.stable)",
        "http-request set-var(txn.to) var(txn.former) if { var(txn.stable),nbsrv lt 1 } { var(txn.former),nbsrv gt 0 }",
        "# All that is no prediction, such as feedback, is the stable version's business.",
        "http-request set-var(txn.to) var(txn.canary) if predicts held drawn { var(txn.canary),nbsrv gt 0 }",
        *full,
        "# What was begun twice would be written twice: only a prediction may be sent again.",
        "http-request disable-l7-retry unless predicts",
        "http-request track-sc2 var(txn.to) table refusals",
        "http-response sc-inc-gpc0(2) if { status 429 503 }",
        "use_backend %[var(txn.to)] if { var(txn.to) -m found }",
        "default_backend blue",
    ]
    return "frontend online\n" + _lines(lines)


_ESCAPED = (
    r"http-request set-var(txn.key) req.body,lua.subject_of"
    r" if { path /predict } !named { req.body -m sub '\u' }"
)
_NO_METRICS = refusal(
    404,
    "another path",
    "/metrics",
    "Ask the replicas, whose addresses are in replicas.json, or Prometheus.",
    field="path",
)
_REFUSALS = """# What replicas had no room for, by backend.
backend refusals
    stick-table type string len 16 size 16 store gpc0
"""


def _backend(name: Backend, options: Options) -> str:
    common = f"check inter 1s fall 2 rise 1 maxconn {options.concurrency} pool-purge-delay 1s"
    if options.boxes:
        servers = [
            f"server {name}{number} {box} {common} resolvers engine init-addr last,libc,none"
            for number, box in enumerate(options.boxes.get(name, ()), start=1)
        ]
    else:
        servers = [f"server-template s 1-{options.slots} 127.0.0.1:1 disabled {common}"]
    lines = [
        "balance leastconn",
        # What a dying or hanging replica has not answered, or has no room for, another one answers.
        "retry-on conn-failure empty-response response-timeout 503",
        "option httpchk",
        "http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host localhost",
        "http-check expect status 200",
        *servers,
    ]
    return f"backend {name}\n" + _lines(lines)


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in lines)


def _ms(seconds: float) -> str:
    return f"{math.ceil(1000 * seconds)}ms"
