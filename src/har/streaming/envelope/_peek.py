"""`peek`: whose message it is, and when it was taken, without its values; needs no numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from har.errors import EnvelopeError
from har.streaming.envelope._checks import identity
from har.streaming.envelope._decode import another_format, read, said_of, unreadable
from har.streaming.envelope._envelope import StreamKey
from har.streaming.envelope._refusal import refused, with_identity
from har.streaming.envelope.formats import Head, format_of

_DECODERS: dict[str, msgspec.json.Decoder[Head] | msgspec.msgpack.Decoder[Head]] = {
    "json": msgspec.json.Decoder(Head),
    "msgpack": msgspec.msgpack.Decoder(Head),
}


@dataclass(frozen=True, slots=True)
class Glance:
    """What `peek` sees of a message.

    Attributes:
        key: subject, device and session.
        sequence: its number within the session.
        t0_us: stamp of the first sample, µs since 1970.
        count: samples.
    """

    key: StreamKey
    sequence: int
    t0_us: int
    count: int


def peek(body: bytes, content_type: str = "", *, most_bytes: int = 1_000_000) -> Glance:
    """Whose message it is and when it was taken; the values are not looked at.

    For a service that puts messages into a queue: whoever reads the queue refuses what is wrong with the values.

    Raises:
        EnvelopeError: it is too long, is no message, or its names or stamp are not legal.
    """
    try:
        if len(body) > most_bytes:
            refused("body", f"at most {most_bytes:,} bytes", f"{len(body):,}", "Send fewer samples in a message.")
        name = format_of(body, content_type).name
        decoder = _DECODERS.get(name)
        if decoder is None:
            return _whole(body, content_type)
        try:
            head = decoder.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            other = another_format(body, name)
            if other is None:
                raise unreadable(error, name) from error
            return _whole(body, other)
        return Glance(*identity(head), _count(head, name))
    except EnvelopeError as error:
        if error.subject:
            raise
        raise with_identity(error, said_of(body, content_type)) from error.__cause__


def _whole(body: bytes, content_type: str) -> Glance:
    message = read(body, content_type)
    return Glance(*identity(message), len(message.samples))


def _count(head: Head, name: str) -> int:
    raw = memoryview(head.samples)
    if name == "json":
        return max(bytes(raw).count(b"[") - 1, 0)
    kind = raw[0]
    if 0x90 <= kind <= 0x9F:
        return kind & 0x0F
    if kind in (0xDC, 0xDD):
        return int.from_bytes(raw[1 : 3 if kind == 0xDC else 5], "big")
    sizes = {0xC4: 1, 0xC5: 2, 0xC6: 4}
    if kind not in sizes:
        refused("samples", "rows of numbers, or bytes", f"MessagePack's type 0x{kind:02x}", "Send an array, or bytes.")
    size = int.from_bytes(raw[1 : 1 + sizes[kind]], "big")
    return size // max(1, len(head.channels) * (8 if head.dtype == "float64" else 4))
