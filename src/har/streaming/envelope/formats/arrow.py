"""An Arrow IPC stream: a column per channel, the other fields in the metadata of the schema.

`units` is a JSON object. Needs pyarrow, which the online service does not have.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np

from har.errors import EnvelopeError
from har.streaming.envelope.formats._message import Arrays, Format

_TEXTS = ("subject", "device", "session", "placement")
_NEEDED = ("subject", "device", "session", "sequence", "t0", "rate_hz", "units")
_RECORD_BATCH = 3
"""`MessageHeader.RecordBatch` of Arrow's Message.fbs."""


def _arrow() -> Any:
    try:
        import pyarrow as pa  # large, and only consumers have it
    except ImportError as error:
        raise EnvelopeError(
            where="content type",
            expected="JSON or MessagePack",
            got="an Arrow IPC stream, and pyarrow is not installed here",
            remedy="Send JSON or MessagePack to the online service, or Arrow to a broker.",
        ) from error
    return pa


def _read(body: bytes) -> Arrays:
    pa = _arrow()
    try:
        # Decompression could fill the memory; what is not compressed takes no more of it than the body.
        if any(_is_compressed(one.metadata.to_pybytes()) for one in pa.ipc.MessageReader.open_stream(body)):
            raise pa.ArrowInvalid("compressed buffers")
        with pa.ipc.open_stream(body) as reader:
            _refuse_other_types(pa, reader.schema)
            table = reader.read_all()
        table.validate(full=True)
    except EnvelopeError:
        raise
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        raise EnvelopeError(
            where="body",
            expected="an Arrow IPC stream, uncompressed",
            got=str(error).splitlines()[0][:200],
            remedy="Write one table with `pyarrow.ipc.new_stream`.",
        ) from error
    said = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in _metadata(table)}
    for name in _NEEDED:
        if name not in said:
            raise msgspec.ValidationError(f"Object missing required field `{name}`")
    fields: dict[str, Any] = {name: said[name] for name in _TEXTS if name in said}
    fields["sequence"] = msgspec.convert(said["sequence"], int, strict=False)
    fields["rate_hz"] = msgspec.convert(said["rate_hz"], float, strict=False)
    fields["t0"] = int(said["t0"]) if said["t0"].lstrip("-").isdigit() else said["t0"]
    fields["units"] = msgspec.json.decode(said["units"], type=dict[str, str])
    columns = [column.to_numpy() for column in table.columns]
    wide = any(column.dtype != np.float32 for column in columns)
    samples = np.empty((table.num_rows, len(columns)), np.float64 if wide else np.float32)
    for place, column in enumerate(columns):
        samples[:, place] = column
    return Arrays(**fields, channels=tuple(table.column_names), samples=samples)


def _is_compressed(metadata: bytes) -> bool:
    """Whether the buffers of an IPC message are compressed: a field of its RecordBatch, a flatbuffer."""

    def field(table: int, number: int) -> int:
        """Where a field of a table is; 0: it has none."""
        vtable = table - struct.unpack_from("<i", metadata, table)[0]
        size = struct.unpack_from("<H", metadata, vtable)[0]
        place = 4 + 2 * number
        offset = struct.unpack_from("<H", metadata, vtable + place)[0] if place < size else 0
        return table + offset if offset else 0

    def at(place: int) -> int:
        return place + int(struct.unpack_from("<I", metadata, place)[0])

    message = at(0)
    kind, header = field(message, 1), field(message, 2)
    return bool(kind and header and metadata[kind] == _RECORD_BATCH and field(at(header), 3))


def _refuse_other_types(pa: Any, schema: Any) -> None:
    """Only columns of numbers are as large as their buffers, and can be samples."""
    for column in schema:
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise EnvelopeError(
                where="samples",
                expected="columns of float32 or float64",
                got=f"{column.name}: {column.type}",
                remedy="Send numbers only.",
            )


def _metadata(table: Any) -> list[tuple[bytes, bytes]]:
    return list((table.schema.metadata or {}).items())


def _write(message: Arrays) -> bytes:
    pa = _arrow()
    said = {name: str(getattr(message, name)) for name in ("sequence", "t0", "rate_hz", *_TEXTS)}
    said["units"] = msgspec.json.encode(message.units).decode()
    columns = [pa.array(np.ascontiguousarray(column)) for column in message.samples.T]
    table = pa.table(columns, names=list(message.channels)).replace_schema_metadata(said)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


FORMAT = Format(
    name="arrow",
    content_types=("application/vnd.apache.arrow.stream",),
    read=_read,
    write=_write,
    recognises=lambda body: body[:4] == b"\xff\xff\xff\xff",
)
