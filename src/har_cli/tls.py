"""The command that makes the certificate of the proxy."""

from __future__ import annotations

from typing import Annotated

import typer

from har_cli._shared import out


def tls(
    host: Annotated[
        list[str] | None, typer.Option("--host", help="A further name or address, besides those of serving.hosts.")
    ] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Make a new certificate also if the old one holds.")] = False,
) -> None:
    """Make a local authority and, signed by it, a certificate for the proxy in front of the online service.

    What is there and holds is kept; within 30 days of its end the certificate is renewed.
    """
    from har.settings import load_settings
    from infra.serving.proxy.certificates import make_certificate, names_of, read_certificate

    settings = load_settings()
    folder = settings.path("tls")
    held = read_certificate(folder)
    names = names_of(settings, [*(held.names if held else ()), *(host or ())])
    made = make_certificate(folder, names, renew=renew)
    until = f"{made.until:%Y-%m-%d}"
    if made.new == "authority":
        _say(f"A new authority: clients have to trust {made.authority}.")
    kept = "" if made.new else " (it was there)"
    _say(f"{made.path}: for {', '.join(made.names)}, until {until}{kept}.")
    if not settings.serving.tls:
        _say('The proxy listens with TLS once an address is set: [serving] tls = "0.0.0.0:3443" in har.toml.')


def _say(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True, markup=False)
