"""Whose a message is and when it was taken, without its values and without polars."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest

from har.errors import EnvelopeError
from har.settings import Settings
from har.streaming.envelope import Arrays, Glance, StreamKey, encode, peek

T0 = 1_704_096_000_000_000
KEY = StreamKey("s01", "watch", "walk")


def body(settings: Settings, form: str, count: int = 50, **fields: Any) -> bytes:
    usual = {"sequence": 9, "t0": T0, "rate_hz": 50.0, "units": {"accelerometer": "g", "gyroscope": "deg/s"}}
    samples = fields.pop("samples", np.zeros((count, 6), np.float32))
    channels = settings.sensors.channels
    return encode(Arrays(**KEY._asdict(), **{**usual, **fields}, channels=channels, samples=samples), form)


@pytest.mark.parametrize("form", ["json", "msgpack", "arrow"])
@pytest.mark.parametrize("count", [1, 15, 16, 500])
def test_it_agrees_with_the_message(settings: Settings, form: str, count: int) -> None:
    assert peek(body(settings, form, count)) == Glance(KEY, 9, T0, count)


@pytest.mark.parametrize("count", [1, 15, 16, 70_000])
def test_messagepack_s_rows_and_wide_bytes_are_counted(settings: Settings, count: int) -> None:
    fields = msgspec.msgpack.decode(body(settings, "msgpack", 1))
    fields["samples"] = [[0.5] * 6] * count
    assert peek(msgspec.msgpack.encode(fields), most_bytes=10**8).count == count
    wide = body(settings, "msgpack", samples=np.zeros((count, 6)))
    assert peek(wide, most_bytes=10**8).count == count


def test_values_are_not_looked_at(settings: Settings) -> None:
    assert peek(body(settings, "msgpack", samples=np.full((5, 6), np.nan, np.float32))).count == 5


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_what_it_refuses(settings: Settings, form: str) -> None:
    with pytest.raises(EnvelopeError, match="at most 1,000 bytes") as caught:
        peek(body(settings, form), most_bytes=1000)
    assert (caught.value.subject, caught.value.sequence) == ("s01", 9)
    with pytest.raises(EnvelopeError, match="t0") as caught:
        peek(body(settings, form, t0=5))
    assert caught.value.device == "watch"
    with pytest.raises(EnvelopeError, match="sequence"):
        peek(body(settings, form, sequence=-1))
    with pytest.raises(EnvelopeError):
        peek(body(settings, form)[:80])
    plain = (msgspec.json if form == "json" else msgspec.msgpack).encode({**KEY._asdict(), "sequence": 4})
    with pytest.raises(EnvelopeError, match="t0") as caught:
        peek(plain)
    assert caught.value.sequence == 4


def test_it_needs_neither_polars_nor_pyarrow() -> None:
    code = (
        "import sys; import har.streaming.envelope as e; e.peek; from har.streaming.envelope.formats import formats; "
        "formats(); print(sorted({'polars', 'pyarrow', 'deltalake', 'pandera'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
