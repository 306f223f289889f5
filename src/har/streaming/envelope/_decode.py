"""`decode`: a body to an `Envelope`; `encode`: a message to a body, for clients."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from har.errors import EnvelopeError, SettingsError, reason
from har.streaming.envelope._checks import checked
from har.streaming.envelope._envelope import Envelope
from har.streaming.envelope._limits import Limits
from har.streaming.envelope._refusal import refused, scan, with_identity
from har.streaming.envelope.formats import Arrays, Message, find_format, format_of, formats

_MISSING = re.compile(r"missing required field `([^`]+)`")
_PATH = re.compile(r"Expected `([^`]+)`, got `([^`]+)`(?: - at `\$\.?([A-Za-z0-9_]*)([^`]*)`)?")
_REMEDY = "The handbook's page on devices describes the fields; `har stream send` writes them."


def decode(body: bytes, content_type: str, limits: Limits) -> Envelope:
    """A message, with its samples as the project's channels in m/s² and rad/s.

    Args:
        body: JSON, MessagePack, Arrow IPC, or what another file of `formats` reads.
        content_type: as `Delivery` has it; "": JSON or MessagePack, by the first byte.
        limits: of the project.

    Raises:
        EnvelopeError: it cannot be used; which field, and who sent it as far as that can be read.
    """
    try:
        if len(body) > limits.bytes:
            refused(
                "body",
                f"at most {limits.bytes:,} bytes (stream.message_bytes)",
                f"{len(body):,}",
                "Send fewer samples in a message.",
            )
        return checked(read(body, content_type), limits)
    except EnvelopeError as error:
        if error.subject:
            raise
        raise with_identity(error, said_of(body, content_type)) from error.__cause__


def read(body: bytes, content_type: str) -> Message:
    """The fields of a body, unchecked; raises an `EnvelopeError` if it has none."""
    chosen = format_of(body, content_type)
    try:
        return chosen.read(body)
    except EnvelopeError:
        raise
    except (msgspec.MsgspecError, ValueError, UnicodeError, RecursionError) as error:
        other = another_format(body, chosen.name)
        if other is None:
            raise unreadable(error, chosen.name) from error
        return read(body, other)


def another_format(body: bytes, name: str) -> str | None:
    """The content type of a format that recognises a body which is none of `name`: apps push JSON of their own."""
    for other in formats():
        if other.name not in (name, "json", "msgpack", "arrow") and other.recognises(body):
            return other.content_types[0]
    return None


def unreadable(error: Exception, name: str) -> EnvelopeError:
    """Which field msgspec complains about."""
    text = str(error)
    if match := _MISSING.search(text):
        return EnvelopeError(where=match[1], expected="a value", got="no such field", remedy=_REMEDY)
    if match := _PATH.match(text):
        expected, got, field, rest = match[1], match[2], match[3] or "body", match[4] or ""
        where = f"{field}{rest.replace('[...]', '', 2)}"
        return EnvelopeError(where=where, expected=f"{expected}", got=got, remedy=_REMEDY)
    return EnvelopeError(
        where="body", expected=f"a whole message as {name}", got=reason(error) or type(error).__name__, remedy=_REMEDY
    )


def said_of(body: bytes, content_type: str) -> dict[str, Any]:
    """What a refused message says of itself."""
    try:
        said = format_of(body, content_type).read(body)
        return {name: getattr(said, name) for name in ("subject", "device", "session", "sequence")}
    except (EnvelopeError, msgspec.MsgspecError, ValueError, RecursionError):
        return scan(body)


def encode(message: Arrays, name: str = "msgpack") -> bytes:
    """The body of a message, for clients.

    Args:
        message: its fields, with samples (T, C) in the order of its channels, in its units.
        name: of a format that can be written: json, msgpack or arrow.

    Raises:
        SettingsError: there is no such format, or this program cannot write it.
    """
    write = find_format(name).write
    if write is None:
        raise SettingsError(
            where="format",
            expected=", ".join(one.name for one in formats() if one.write is not None),
            got=f"{name!r}, which only devices write",
            remedy="Choose another one.",
        )
    return write(message)
