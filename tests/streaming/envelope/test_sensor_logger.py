"""Messages of the phone app Sensor Logger."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sensor_logger_support import START_NS, iphone, push, readings, signal

from har.errors import EnvelopeError
from har.settings import Settings
from har.streaming.envelope import Limits, StreamKey, decode, peek
from har.streaming.envelope.formats import sensor_logger


@pytest.fixture
def limits(settings: Settings) -> Limits:
    return Limits.of(settings)


def test_an_iphone_s_message_has_gravity_added_and_both_sensors_on_one_grid(limits: Limits) -> None:
    envelope = decode(iphone(0.0, 1.0, number=7), "application/json", limits)
    assert envelope.key == StreamKey(
        "phone-c0ffee00", "c0ffee00-1234-5678-9abc-def012345678", "4a7c9a3e-6c1d-4c56-9d5e-0b0c1d2e3f40"
    )
    assert envelope.sequence == 7
    assert envelope.rate_hz == pytest.approx(100.0, abs=0.01)
    assert envelope.t0_us == START_NS // 1000
    total, rotation = signal(np.arange(100) / 100)
    np.testing.assert_allclose(envelope.samples[:, :3], total, atol=1e-3)
    # Rotation at the first stamp is that of the first reading, 2.1 ms later.
    np.testing.assert_allclose(envelope.samples[1:, 3:], rotation[1:], atol=1e-3)
    np.testing.assert_allclose(envelope.samples[0, 3:], signal(np.array([0.0021]))[1][0], atol=1e-3)


def test_an_android_s_total_acceleration_is_taken_as_it_is_and_a_faster_gyroscope_interpolated(limits: Limits) -> None:
    slow, fast = np.arange(77) / 77.45, np.arange(471) / 471.0
    payload = [
        *readings("gyroscope", fast, signal(fast)[1], accuracy=3),
        *readings("totalacceleration", slow, signal(slow)[0], accuracy=3),
        *readings("accelerometer", slow, signal(slow)[0] - [0, 0, 9.80665], accuracy=3),
        *readings("gravity", slow, np.broadcast_to([0, 0, 9.80665], (77, 3)), accuracy=3),
    ]
    envelope = decode(push(payload), "", limits)
    assert envelope.rate_hz == pytest.approx(77.45, abs=0.01)
    assert envelope.samples.shape == (77, 6)
    np.testing.assert_allclose(envelope.samples, np.hstack(signal(slow)), atol=1e-3)


def test_a_watch_s_readings_in_g_are_converted_and_turned(limits: Limits) -> None:
    at = np.arange(50) / 50
    total, rotation = signal(at)
    payload = [
        {
            "name": "wrist motion",
            "time": int(START_NS + second * 1e9),
            "values": {
                **dict(zip(("gravityX", "gravityY", "gravityZ"), (0.0, 0.0, -1.0), strict=True)),
                **{f"acceleration{axis}": value for axis, value in zip("XYZ", moved.tolist(), strict=True)},
                **{f"rotationRate{axis}": value for axis, value in zip("XYZ", turned.tolist(), strict=True)},
            },
        }
        for second, moved, turned in zip(at, [0, 0, 1] - total / 9.80665, rotation, strict=True)
    ]
    envelope = decode(push(payload), "application/json", limits)
    np.testing.assert_allclose(envelope.samples, np.hstack([total, rotation]), atol=1e-3)


def test_messages_in_a_row_join_without_a_gap(limits: Limits) -> None:
    first, second = (decode(iphone(start, 1.0, number=i), "", limits) for i, start in enumerate((0.0, 1.0)))
    end_us = first.t0_us + len(first.samples) * 1e6 / first.rate_hz
    assert second.t0_us == pytest.approx(end_us, abs=5)


def test_uneven_readings_get_an_even_grid(limits: Limits) -> None:
    generator = np.random.default_rng(1)
    at = np.sort(np.arange(100) / 100 + generator.uniform(-0.004, 0.004, 100))
    at = np.delete(at, [30, 31, 60])
    payload = [*readings("totalacceleration", at, signal(at)[0]), *readings("gyroscope", at, signal(at)[1])]
    generator.shuffle(payload)
    envelope = decode(push(payload), "", limits)
    grid = (envelope.t0_us - START_NS / 1000) / 1e6 + np.arange(len(envelope.samples)) / envelope.rate_hz
    np.testing.assert_allclose(envelope.samples[:, :3], signal(grid)[0], atol=0.02)
    assert grid[-1] == pytest.approx(at[-1], abs=1e-5)


@pytest.mark.parametrize(
    ("named", "subject"),
    [({}, "phone-c0ffee00"), ({"userId": "participant-3"}, "participant-3")],
)
def test_the_subject_is_the_address_s_else_the_study_s_else_the_phone(
    limits: Limits, named: dict[str, str], subject: str
) -> None:
    body = iphone(0.0, 0.5, **named)
    assert decode(body, "", limits).key.subject == subject
    to_anna = sensor_logger.addressed(body, subject="anna", placement="left-wrist")
    envelope = decode(to_anna, "application/json", limits)
    assert (envelope.key.subject, envelope.placement) == ("anna", "left-wrist")
    assert peek(to_anna, "application/json").key == envelope.key


def test_only_the_app_s_messages_are_addressed() -> None:
    for body in (b'{"subject": "ben", "samples": []}', b"\x81", b""):
        assert sensor_logger.addressed(body, subject="anna") == body


def _without(*names: str) -> bytes:
    message: dict[str, Any] = json.loads(iphone(0.0, 1.0))
    message["payload"] = [one for one in message["payload"] if one["name"] not in names]
    return json.dumps(message).encode()


def _spoilt(change: Any) -> bytes:
    message: dict[str, Any] = json.loads(iphone(0.0, 1.0))
    change(message["payload"])
    return json.dumps(message).encode()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (_without("gravity"), r"totalacceleration, or of accelerometer and gravity, but got accelerometer, battery"),
        (_without("gyroscope"), r"a channel 'gyro_x'"),
        (push([]), r"but got nothing.*test message"),
        (_without("accelerometer", "gravity", "gyroscope"), "but got battery"),
        (push([*readings("totalacceleration", np.array([0.0]), np.ones((1, 3)))]), "but got one reading"),
        (
            _spoilt(lambda payload: [one["values"].pop("y") for one in payload[:1]]),
            r"payload, accelerometer: expected numbers x, y, z",
        ),
        (_spoilt(lambda payload: payload[0].update(time="soon")), "expected ns since 1970, but got 'soon'"),
        (
            _spoilt(lambda payload: [one.update(time=one["time"] + 900_000_000) for one in payload[50:100]]),
            r"accelerometer: expected readings at most 0\.5 s apart, but got a pause of 0\.9 s",
        ),
        (
            _spoilt(lambda payload: [one.update(time=one["time"] + 5_000_000_000) for one in payload[200:300]]),
            "readings that do not overlap",
        ),
    ],
)
def test_a_message_that_cannot_be_used_says_what_to_switch_on(limits: Limits, body: bytes, says: str) -> None:
    with pytest.raises(EnvelopeError, match=says) as caught:
        decode(body, "application/json", limits)
    assert caught.value.where


def test_stamps_may_be_text_and_values_of_other_sensors_anything(limits: Limits) -> None:
    message = json.loads(iphone(0.0, 0.5))
    for one in message["payload"]:
        one["time"] = str(one["time"])
    message["payload"].append({"name": "network", "time": START_NS, "values": {"type": "wifi", "ssid": None}})
    assert len(decode(json.dumps(message).encode(), "", limits).samples) == 50
