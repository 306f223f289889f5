"""A message that cannot be used is refused with its field, and with who sent it."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from har.errors import EnvelopeError
from har.settings import Settings
from har.streaming.envelope import Arrays, Limits, decode, encode, peek

T0 = 1_704_096_000_000_000


@pytest.fixture
def limits(settings: Settings) -> Limits:
    return Limits.of(settings)


@pytest.fixture
def fields(settings: Settings) -> dict[str, Any]:
    """A good message, as plain values."""
    samples = np.random.default_rng(0).normal(0, 1, (50, 6))
    samples[:, 2] += 9.8
    return {
        "subject": "s01",
        "device": "watch",
        "session": "walk",
        "sequence": 7,
        "t0": "2024-01-01T08:00:00Z",
        "rate_hz": 50,
        "channels": [*settings.sensors.channels],
        "units": {"accelerometer": "m/s^2", "gyroscope": "rad/s"},
        "samples": samples.tolist(),
    }


def refusal(body: bytes, limits: Limits, content_type: str = "") -> EnvelopeError:
    with pytest.raises(EnvelopeError) as caught:
        decode(body, content_type, limits)
    error = caught.value
    assert error.remedy
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert again.parts() == error.parts()
    return error


def rows(change: Any) -> Any:
    """A function of the rows of samples."""
    return lambda fields: {"samples": change([list(row) for row in fields["samples"]])}


def put(value: Any) -> Any:
    def change(samples: list[list[Any]]) -> list[list[Any]]:
        samples[9][4] = value
        return samples

    return rows(change)


CASES: list[tuple[Any, str, str]] = [
    ({"subject": "a/b"}, "subject", "letters"),
    ({"subject": ""}, "subject", "empty"),
    ({"subject": "s" * 65}, "subject", "at most 64"),
    ({"device": "../x"}, "device", "letters"),
    ({"session": "a b"}, "session", "letters"),
    ({"session": None}, "session", "str"),
    ({"sequence": -1}, "sequence", "from 0"),
    ({"sequence": 2**63}, "sequence", ""),
    ({"sequence": "7"}, "sequence", "int"),
    ({"sequence": 7.5}, "sequence", "int"),
    ({"t0": "2024-01-01T08:00:00"}, "t0", "offset"),
    ({"t0": "yesterday"}, "t0", "ISO 8601"),
    ({"t0": "2024-02-30T08:00:00Z"}, "t0", "ISO 8601"),
    ({"t0": 1_704_096_000_000}, "t0", "milliseconds"),
    ({"t0": 1_704_096_000}, "t0", "seconds"),
    ({"t0": 1_704_096_000_000_000_000}, "t0", "nanoseconds"),
    ({"t0": "1970-01-01T00:00:10Z"}, "t0", "clock"),
    ({"t0": "9999-12-31T23:59:59Z"}, "t0", "clock"),
    ({"t0": 2**62}, "t0", "2000 to 9999"),
    ({"t0": -(2**62)}, "t0", "2000 to 9999"),
    ({"rate_hz": 0}, "rate_hz", "15 to 2500"),
    ({"rate_hz": -50}, "rate_hz", "15 to 2500"),
    ({"rate_hz": 14.9}, "rate_hz", "15 to 2500"),
    ({"rate_hz": 1e9}, "rate_hz", "15 to 2500"),
    ({"rate_hz": "50"}, "rate_hz", "float"),
    ({"channels": ["accel_x"]}, "channels", "'accel_y'"),
    ({"channels": []}, "channels", "accel_x"),
    ({"channels": ["accel_x"] * 6}, "channels", "twice"),
    ({"channels": "accel_x"}, "channels", "array"),
    ({"units": {}}, "units", "accel_x"),
    ({"units": {"accelerometer": "m/s^2"}}, "units", "gyro_x"),
    ({"units": {"accelerometer": "ft/s^2", "gyroscope": "rad/s"}}, "units", "ft/s"),
    ({"units": {"accelerometer": "rad/s", "gyroscope": "rad/s"}}, "units", "m/s"),
    ({"units": "SI"}, "units", "object"),
    ({"placement": "x" * 65}, "placement", "wrist"),
    ({"placement": "wr\nist"}, "placement", "wrist"),
    ({"samples": []}, "samples", "one row"),
    ({"samples": [[]]}, "samples", "one row"),
    ({"samples": [1.0, 2.0]}, "samples", "array"),
    ({"samples": "AAAA"}, "samples", "array"),
    (rows(lambda samples: [*samples, samples[0][:5]]), "samples", "rows of 5, 6 numbers"),
    (rows(lambda samples: [row[:5] for row in samples]), "samples", "shape"),
    (put(None), "samples", "float"),
    (put("1"), "samples", "float"),
    (put(1e6), "samples, row 9, channel gyro_y", "full scale"),
    (put(-1e300), "samples, row 9, channel gyro_y", "full scale"),
]


@pytest.mark.parametrize(
    ("wrong", "where", "text"), CASES, ids=[f"{where}-{number}" for number, (_, where, _) in enumerate(CASES)]
)
def test_the_field_is_named_and_so_is_who_sent_it(
    fields: dict[str, Any], limits: Limits, wrong: Any, where: str, text: str
) -> None:
    fields = {**fields, **(wrong(fields) if callable(wrong) else wrong)}
    for body in (msgspec.json.encode(fields), msgspec.msgpack.encode(fields)):
        error = refusal(body, limits)
        assert error.where.startswith(where)
        assert text in str(error) or (body[:1] != b"{" and "array" in text)
        if where not in ("subject", "device", "session"):
            assert (error.subject, error.device, error.session) == ("s01", "watch", "walk")
        if where != "sequence":
            assert error.sequence == 7


@pytest.mark.parametrize(
    "name", ["subject", "device", "session", "sequence", "t0", "rate_hz", "channels", "units", "samples"]
)
@pytest.mark.parametrize("encoder", [msgspec.json.encode, msgspec.msgpack.encode])
def test_a_missing_field(fields: dict[str, Any], limits: Limits, name: str, encoder: Any) -> None:
    del fields[name]
    error = refusal(encoder(fields), limits)
    assert error.where == name
    assert "no such field" in error.got
    assert error.subject == ("" if name == "subject" else "s01")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(settings: Settings, fields: dict[str, Any], limits: Limits, value: float) -> None:
    fields["samples"][3][2] = value
    error = refusal(msgspec.msgpack.encode(fields), limits)
    assert error.where == "samples, row 3, channel accel_z"
    samples = np.array(fields["samples"], np.float32)
    for form in ("msgpack", "arrow"):
        body = encode(Arrays(**{**fields, "samples": samples, "channels": settings.sensors.channels}), form)
        assert refusal(body, limits).where == "samples, row 3, channel accel_z"
    text = msgspec.json.encode({**fields, "samples": [[1.0]]}).replace(b"[1.0]", b"[NaN]")
    assert refusal(text, limits).sequence == 7


@pytest.mark.parametrize("lost", [1, 4, 23])
def test_bytes_that_are_no_whole_rows(fields: dict[str, Any], limits: Limits, lost: int) -> None:
    fields["samples"] = np.array(fields["samples"], np.float32).tobytes()[:-lost]
    error = refusal(msgspec.msgpack.encode(fields), limits)
    assert error.where == "samples"
    assert "a row of float32 has 24" in error.got


def test_too_many_bytes(fields: dict[str, Any], limits: Limits) -> None:
    fields["samples"] = np.zeros((50_000, 6), np.float32).tobytes()
    error = refusal(msgspec.msgpack.encode(fields), limits)
    assert error.where == "body"
    assert "stream.message_bytes" in error.expected
    assert error.subject == "s01"


@pytest.mark.parametrize("content_type", ["text/csv", "image/png", "application/x-thrift"])
def test_an_unknown_content_type(fields: dict[str, Any], limits: Limits, content_type: str) -> None:
    error = refusal(msgspec.json.encode(fields), limits, content_type)
    assert error.where == "content type"
    assert "application/msgpack" in error.expected
    assert error.subject == "s01"


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00", b"{", b"[]", b"{}", b"null", b"GET / HTTP/1.1", b"\xff" * 100, b"\x80", b"[" * 100_000,
     b"\x91" * 9999, b"\xff\xff\xff\xff\x10\x00\x00\x00junk", b'{"a":' * 50_000],
)  # fmt: skip
def test_what_is_no_message(limits: Limits, body: bytes) -> None:
    for content_type in ("", "application/json", "application/msgpack", "application/vnd.apache.arrow.stream"):
        error = refusal(body, limits, content_type)
        assert (error.subject, error.sequence) == ("", -1)


def test_gravity_at_rest_is_asked_for_where_a_message_can_tell(
    settings: Settings, fields: dict[str, Any], limits: Limits
) -> None:
    rest = np.random.default_rng(0).normal(0, 0.001, (200, 6))
    rest[:, 2] += 1.0  # g, declared as m/s²
    error = refusal(msgspec.json.encode({**fields, "samples": rest.tolist()}), limits)
    assert error.where == "samples"
    assert "gravity" in error.expected
    decode(msgspec.json.encode({**fields, "samples": rest[:100].tolist()}), "", limits)  # two seconds are too few
    moving = np.random.default_rng(0).normal(0, 1, (200, 6))
    decode(msgspec.json.encode({**fields, "samples": moving.tolist()}), "", limits)
    rest[:, 2] += 8.8
    decode(msgspec.json.encode({**fields, "samples": rest.tolist()}), "", limits)


@trials(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from(["json", "msgpack", "arrow"]),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_message_is_refused_or_read_and_nothing_else(
    settings: Settings, fields: dict[str, Any], form: str, cut: float, flips: list[tuple[float, int]]
) -> None:
    samples = np.array(fields["samples"], np.float32)
    whole = encode(Arrays(**{**fields, "samples": samples, "channels": settings.sensors.channels}), form)
    body = bytearray(whole[: round(cut * len(whole))] if cut < 0.9 else whole)
    for place, byte in flips:
        if body:
            body[int(place * len(body))] = byte
    limits = Limits.of(settings)
    for read in (lambda: decode(bytes(body), "", limits), lambda: peek(bytes(body))):
        try:
            read()
        except EnvelopeError as error:
            assert error.where


def test_a_cut_message_still_says_who_sent_it(settings: Settings, fields: dict[str, Any], limits: Limits) -> None:
    samples = np.array(fields["samples"], np.float32)
    fields |= {"samples": samples, "channels": settings.sensors.channels, "sequence": 300}
    for form, size in (("json", 900), ("msgpack", 700)):
        error = refusal(encode(Arrays(**fields), form)[:size], limits)
        assert (error.subject, error.device, error.session, error.sequence) == ("s01", "watch", "walk", 300)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_arrow_is_refused_before_it_fills_the_memory(limits: Limits, codec: str) -> None:
    table = pa.table({"accel_x": np.zeros(5_000_000, np.float32)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table)
    body = bytes(sink.getvalue())
    assert len(body) < 1_000_000 < table.nbytes
    assert "compressed" in refusal(body, limits).got


@pytest.mark.parametrize("column", [pa.nulls(3), pa.array(["1", "2", "3"]), pa.array([[1.0]] * 3)])
def test_arrow_columns_that_are_no_numbers(limits: Limits, column: pa.Array) -> None:
    table = pa.table({"accel_x": column}).replace_schema_metadata({"subject": "s01"})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    error = refusal(bytes(sink.getvalue()), limits)
    assert error.where == "samples"
    assert "accel_x" in error.got
