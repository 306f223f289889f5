"""Find formats: the modules of this package whose names do not begin with `_`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from har.errors import EnvelopeError, SettingsError, did_you_mean
from har.streaming.envelope.formats._message import Format

_FIRST = ("json", "msgpack")
"""Devices send these most."""


@cache
def formats() -> tuple[Format, ...]:
    """Every format of this package, the usual ones first."""
    found = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if module.name[0] != "_"]
    names = sorted(found, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    return tuple(importlib.import_module(f"{__package__}.{name}").FORMAT for name in names)


def find_format(name: str) -> Format:
    """The format of that name.

    Raises:
        SettingsError: it does not exist.
    """
    for one in formats():
        if one.name == name:
            return one
    known = [one.name for one in formats()]
    raise SettingsError(
        where="format", expected=", ".join(known), got=repr(name), remedy=did_you_mean(name, known) or "Choose one."
    )


def format_of(body: bytes, content_type: str = "") -> Format:
    """The format of a body, by its content type, or by its first bytes where that is not given.

    Raises:
        EnvelopeError: there is no such format.
    """
    wanted = content_type.partition(";")[0].strip().lower()
    if wanted and wanted != "application/octet-stream":
        for one in formats():
            if wanted in one.content_types:
                return one
        raise EnvelopeError(
            where="content type",
            expected=", ".join(one.content_types[0] for one in formats()),
            got=repr(wanted[:100]),
            remedy="Name the form of the message, or leave it out for JSON and MessagePack.",
        )
    for one in formats():
        if one.recognises(body):
            return one
    raise EnvelopeError(
        where="body",
        expected="a message as JSON, MessagePack or Arrow IPC",
        got=repr(body[:40]) if body else "no bytes",
        remedy="The handbook's page on devices describes the fields; `har stream send` writes them.",
    )
