"""JSON: the fields by name, samples as rows of numbers."""

from __future__ import annotations

import msgspec

from har.streaming.envelope.formats._message import Arrays, Format, Rows

_DECODER = msgspec.json.Decoder(Rows)


def _write(message: Arrays) -> bytes:
    fields = {name: getattr(message, name) for name in message.__struct_fields__ if name != "samples"}
    # A float32 is written as the shortest decimal number that reads as the same float32.
    rows = [[float(str(value)) for value in row] for row in message.samples]
    return msgspec.json.encode({**fields, "samples": rows})


FORMAT = Format(
    name="json",
    content_types=("application/json", "text/json"),
    read=_DECODER.decode,
    write=_write,
    recognises=lambda body: body.lstrip()[:1] == b"{",
)
