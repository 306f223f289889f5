"""MessagePack: the fields by name; samples as rows of numbers, or as the bytes of little-endian float32 or float64."""

from __future__ import annotations

import msgspec
import numpy as np

from har.streaming.envelope.formats._message import Arrays, Format, Packed

_DECODER = msgspec.msgpack.Decoder(Packed)
_MAPS = (*range(0x80, 0x90), 0xDE, 0xDF)
"""First bytes of a map."""


def _write(message: Arrays) -> bytes:
    fields = {name: getattr(message, name) for name in message.__struct_fields__ if name != "samples"}
    wide = message.samples.dtype == np.float64
    samples = np.ascontiguousarray(message.samples, "<f8" if wide else "<f4")
    dtype = {"dtype": "float64"} if wide else {}
    return msgspec.msgpack.encode({**fields, **dtype, "samples": samples.tobytes()})


FORMAT = Format(
    name="msgpack",
    content_types=("application/msgpack", "application/x-msgpack", "application/vnd.msgpack"),
    read=_DECODER.decode,
    write=_write,
    recognises=lambda body: body[:1] != b"" and body[0] in _MAPS,
)
