"""Messages in every form become the same samples, in the project's channels and units, bit for bit as in files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from har.errors import SettingsError
from har.recordings import inbox_files, read_recording
from har.settings import STANDARD_GRAVITY, Settings
from har.streaming.envelope import Arrays, Limits, StreamKey, decode, encode
from har.streaming.envelope.formats import Format, find_format, format_of, formats

T0 = 1_704_096_000_000_000
SI = {"accelerometer": "m/s^2", "gyroscope": "rad/s"}
FORMS = ["json", "msgpack", "arrow"]


@pytest.fixture
def limits(settings: Settings) -> Limits:
    return Limits.of(settings)


def message(settings: Settings, samples: np.ndarray, **fields: Any) -> Arrays:
    """A message of a watch."""
    usual = {
        "subject": "s01",
        "device": "watch_7",
        "session": "walk",
        "sequence": 3,
        "t0": T0,
        "rate_hz": 50.0,
        "channels": settings.sensors.channels,
        "units": SI,
        "placement": "left wrist",
    }
    return Arrays(**{**usual, **fields}, samples=samples)


def values(count: int = 50, seed: int = 0) -> np.ndarray:
    """Samples in m/s² and rad/s, float32 (count, 6)."""
    drawn = np.random.default_rng(seed).normal(0, 2, (count, 6))
    drawn[:, 2] += 9.8
    return drawn.astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
def test_what_a_client_encodes_is_what_is_decoded(settings: Settings, limits: Limits, form: str) -> None:
    for content_type in (
        "",
        find_format(form).content_types[0],
        f"{find_format(form).content_types[0]}; charset=utf-8",
    ):
        got = decode(encode(message(settings, values()), form), content_type, limits)
        assert got.key == StreamKey("s01", "watch_7", "walk")
        assert (got.sequence, got.t0_us, got.rate_hz, got.placement) == (3, T0, 50.0, "left wrist")
        assert got.samples.dtype == np.float32
        assert got.samples.flags.c_contiguous
        assert got.samples.tobytes() == values().tobytes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("unit", "rate_unit"), [("g", "rad/s"), ("mg", "deg/s"), ("m/s^2", "deg/s")])
def test_units_are_converted_as_those_of_files(
    change: Any, project: Path, form: str, unit: str, rate_unit: str
) -> None:
    scale = {"g": 1.0, "mg": 1000.0, "m/s^2": STANDARD_GRAVITY}[unit]
    settings = change(
        sensors={
            "accelerometer": {"unit": unit, "full_scale": 16.0 * scale},
            "gyroscope": {"unit": rate_unit, "full_scale": 2000.0 if rate_unit == "deg/s" else 34.9},
        }
    )
    raw = np.random.default_rng(1).normal(0, 0.5, (200, 6))
    raw[:, 2] += 1
    raw[:, :3] *= scale
    path = settings.path("inbox") / "2024-01-01" / "s01_walk.csv"
    path.parent.mkdir(parents=True)
    stamps = pl.Series(T0 + 20_000 * np.arange(200)).cast(pl.Datetime("us"))
    columns = dict(zip(settings.sensors.channels, raw.T, strict=True))
    pl.DataFrame({"time": stamps, **columns}).write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
    files, _ = inbox_files(settings.path("inbox"))
    stored = read_recording(files[0], settings).frame.select(settings.sensors.channels).to_numpy()
    units = {"accelerometer": unit, "gyroscope": rate_unit}
    body = encode(message(settings, raw, units=units), form)
    assert decode(body, "", Limits.of(settings)).samples.tobytes() == np.ascontiguousarray(stored).tobytes()


def test_channels_may_come_in_another_order_with_others_between(settings: Settings, limits: Limits) -> None:
    order = [4, 0, 2, 5, 1, 3]
    channels = [settings.sensors.channels[place] for place in order]
    samples = np.hstack([values()[:, order], np.full((50, 1), 1e9, np.float32)])
    got = decode(encode(message(settings, samples, channels=(*channels, "battery"))), "", limits)
    assert got.samples.tobytes() == values().tobytes()


def test_units_may_be_named_by_channel(settings: Settings, limits: Limits) -> None:
    units = {**SI, "accel_z": "g"}
    samples = values().astype(np.float64)
    got = decode(encode(message(settings, samples, units=units), "json"), "", limits)
    assert got.samples[:, 2].tolist() == (samples[:, 2] * STANDARD_GRAVITY).astype(np.float32).tolist()
    assert got.samples[:, 1].tolist() == values()[:, 1].tolist()


def test_further_channels_are_stored_as_they_are(change: Any) -> None:
    settings = change(sensors={"further": [{"name": "pressure", "unit": "hPa"}]})
    limits = Limits.of(settings)
    samples = np.hstack([values(), np.full((50, 1), 1013.25, np.float32)])
    for units in (SI, {**SI, "pressure": "hPa"}):
        got = decode(encode(message(settings, samples, units=units)), "", limits)
        assert got.samples.tobytes() == samples.tobytes()


@pytest.mark.parametrize(
    "stamp", ["2024-01-01T08:00:00.000000Z", "2024-01-01T09:00:00+01:00", "2024-01-01 08:00:00.0+00:00", T0]
)
def test_a_stamp_is_text_with_an_offset_or_a_number_of_microseconds(
    settings: Settings, limits: Limits, stamp: str | int
) -> None:
    assert decode(encode(message(settings, values(), t0=stamp), "json"), "", limits).t0_us == T0
    micro = "2024-01-01T08:00:00.000123Z"
    assert decode(encode(message(settings, values(), t0=micro)), "", limits).t0_us == T0 + 123


def test_messagepack_takes_rows_and_bytes_of_both_widths(settings: Settings, limits: Limits) -> None:
    fields = msgspec.msgpack.decode(encode(message(settings, values())))
    wide = values().astype("<f8")
    for samples in (
        {"samples": values().tolist()},
        {"samples": [[int(value) for value in row] for row in values().tolist()]},
        {"samples": wide.tobytes(), "dtype": "float64"},
        {"samples": values().tobytes(), "dtype": "float32"},
    ):
        got = decode(msgspec.msgpack.encode({**fields, **samples}), "application/msgpack", limits).samples
        expected = (
            np.trunc(values())
            if isinstance(samples["samples"][0], list) and isinstance(samples["samples"][0][0], int)
            else values()
        )
        assert (got == expected).all()


@pytest.mark.parametrize("text", ["float32", "float64"])
def test_arrow_takes_columns_of_both_widths(settings: Settings, limits: Limits, text: str) -> None:
    columns = [pa.array(column.astype(text)) for column in values().T]
    table = pa.table(columns, names=list(settings.sensors.channels)).replace_schema_metadata(
        {
            "subject": "s01", "device": "d", "session": "walk", "sequence": "0", "rate_hz": "50",
            "t0": dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC).isoformat(), "units": msgspec.json.encode(SI).decode(),
        }
    )  # fmt: skip
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    got = decode(bytes(sink.getvalue()), "application/vnd.apache.arrow.stream", limits)
    assert got.samples.tobytes() == values().tobytes()
    assert got.t0_us == T0
    assert got.placement == ""


@trials(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 70),
    seed=st.integers(0, 999),
    form=st.sampled_from(FORMS),
    subject=st.from_regex(r"[A-Za-z0-9.\-]{1,64}", fullmatch=True),
    sequence=st.integers(0, 2**62 - 1),
    t0=st.integers(946_684_800_000_000, 253_000_000_000_000_000),
    rate_hz=st.floats(15, 2500),
)
def test_any_legal_message_survives_the_trip(
    settings: Settings, count: int, seed: int, form: str, subject: str, sequence: int, t0: int, rate_hz: float
) -> None:
    sent = message(
        settings, values(count, seed), subject=subject, sequence=sequence, t0=t0, rate_hz=rate_hz, placement="ankle"
    )
    got = decode(encode(sent, form), "", Limits.of(settings))
    assert (got.key.subject, got.sequence, got.t0_us, got.rate_hz) == (subject, sequence, t0, rate_hz)
    assert got.samples.tobytes() == values(count, seed).tobytes()


def test_formats_are_found_by_name_and_content_type() -> None:
    assert [one.name for one in formats()][:2] == ["json", "msgpack"]
    assert {"json", "msgpack", "arrow"} <= {one.name for one in formats()}
    assert all(isinstance(one, Format) for one in formats())
    assert format_of(b"", "Application/JSON; charset=utf-8").name == "json"
    assert format_of(b" {}", "application/octet-stream").name == "json"
    with pytest.raises(SettingsError, match="msgpack"):
        find_format("msgpak")
    with pytest.raises(SettingsError, match="Did you mean 'json'"):
        find_format("jsn")


def test_a_format_that_only_devices_write_cannot_be_encoded(settings: Settings) -> None:
    read_only = [one.name for one in formats() if one.write is None]
    for name in read_only:
        with pytest.raises(SettingsError, match="only devices write"):
            encode(message(settings, values()), name)
