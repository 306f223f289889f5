"""How the proxy listens: without TLS, or with it; the certificate is `har tls`'s or somebody else's."""

from __future__ import annotations

from pathlib import Path


def bind_line(address: str, certificate: Path | None = None) -> str:
    """The `bind` of a frontend.

    Args:
        address: `host:port`.
        certificate: a file with the certificate, its chain and its key (PEM); None: no TLS.
    """
    if certificate is None:
        return f"bind {address}"
    return f"bind {address} ssl crt {certificate} alpn h2,http/1.1 ssl-min-ver TLSv1.2"


def redirect_lines(port: int) -> list[str]:
    """A frontend's lines that send whoever asks for a page without TLS to the same page at `port` with it.

    Only what has no body is sent on: a program that posts movement data without TLS is refused, so that somebody
    notices.
    """
    to = "https://%[req.fhdr(Host),host_only]"
    where = to if port == 443 else f"{to}:{port}"
    return [
        f"http-request redirect location {where}%[pathq] code 308 if METH_GET || METH_HEAD",
        "http-request deny status 403 content-type application/json lf-string "
        '\'{"error": {"field": "scheme", "expected": "https", "got": "http", '
        f'"remedy": "Send it to port {port} with TLS."}}}}\'',
    ]
