"""How the proxy listens with TLS."""

from __future__ import annotations

from pathlib import Path

from infra.serving.proxy.configuration import quoted


def tls_bind(address: str, certificate: Path) -> str:
    """One of `Options.bind`: TLS 1.2 or newer, HTTP/1.1 and HTTP/2.

    Args:
        address: `host:port`.
        certificate: a file with the certificate, its chain and its key (PEM), as `har tls` writes it.
    """
    return f"{address} ssl crt {quoted(str(certificate))} alpn h2,http/1.1 ssl-min-ver TLSv1.2"
