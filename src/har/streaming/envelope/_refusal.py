"""How messages are refused, and what can still be read of a message that is refused."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from har.errors import EnvelopeError
from har.log_lines import SESSION, SUBJECT

_NAMES = {"subject": re.compile(SUBJECT), "device": re.compile(SESSION), "session": re.compile(SESSION)}
_TEXT = {name: re.compile(rb'"%b"\s*:\s*"([^"\\]{1,256})"' % name.encode()) for name in _NAMES}
_NUMBER = re.compile(rb'"sequence"\s*:\s*([0-9]{1,18})\b')


def refused(where: str, expected: str, got: str, remedy: str) -> NoReturn:
    """Raise an `EnvelopeError` about a field."""
    raise EnvelopeError(where=where, expected=expected, got=got, remedy=remedy)


def with_identity(error: EnvelopeError, said: dict[str, Any]) -> EnvelopeError:
    """The error with the names and the sequence that the message has, as far as they are legal."""
    parts = error.parts()
    for name, pattern in _NAMES.items():
        value = said.get(name)
        if isinstance(value, str) and pattern.fullmatch(value):
            parts[name] = value
    sequence = said.get("sequence")
    if type(sequence) is int and 0 <= sequence < 2**63:
        parts["sequence"] = sequence
    return EnvelopeError(**parts)


def scan(body: bytes) -> dict[str, Any]:
    """Names and sequence in a body that is damaged or cut: JSON by its text, MessagePack by its strings."""
    found: dict[str, Any] = {}
    for name, pattern in _TEXT.items():
        if match := pattern.search(body):
            found[name] = match[1].decode(errors="replace")
        elif (text := _packed(body, name)) is not None:
            found[name] = text
    if match := _NUMBER.search(body):
        found["sequence"] = int(match[1])
    elif (number := _packed_number(body)) is not None:
        found["sequence"] = number
    return found


def _after(body: bytes, name: str) -> int:
    """Where the value of a MessagePack map's key begins; -1: there is no such key."""
    key = bytes([0xA0 + len(name)]) + name.encode()
    place = body.find(key)
    return -1 if place < 0 else place + len(key)


def _packed(body: bytes, name: str) -> str | None:
    at = _after(body, name)
    if at < 0 or at >= len(body):
        return None
    size, start = body[at] - 0xA0, at + 1
    if body[at] == 0xD9 and start < len(body):  # a string of more than 31 bytes
        size, start = body[start], start + 1
    if not 0 < size <= 255 or start + size > len(body):
        return None
    return body[start : start + size].decode(errors="replace")


def _packed_number(body: bytes) -> int | None:
    at = _after(body, "sequence")
    if at < 0 or at >= len(body):
        return None
    if body[at] < 0x80:
        return body[at]
    size = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(body[at], 0)
    if not size or at + 1 + size > len(body):
        return None
    return int.from_bytes(body[at + 1 : at + 1 + size], "big")
