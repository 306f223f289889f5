"""What is odd about values within the sensor's range is noted, one sentence each, and the file is ingested."""

from __future__ import annotations

import numpy as np
import pytest

HEADER = "time,accel_x,accel_y,accel_z,gyro_x,gyro_y,gyro_z"
COUNT = 1000
SECONDS = np.arange(COUNT) / 50
STAMPS = np.datetime_as_string(np.datetime64("2024-01-01T08:00:00", "us") + np.arange(COUNT) * 20_000)


def turning() -> np.ndarray:
    """A wrist that turns about two axes, (6, n) in g and rad/s; gyroscope and gravity agree."""
    rng = np.random.default_rng(2)
    angle = 1.2 * np.sin(2 * np.pi * 0.3 * SECONDS)
    rate = np.gradient(angle, SECONDS)
    still = rng.normal(0, 0.01, (6, COUNT))
    return still + np.stack([np.sin(angle), 0 * angle, np.cos(angle), 0 * angle, rate, 0 * angle])


def notes(read, values: np.ndarray, using=None) -> tuple[str, ...]:
    rows = [f"{stamp}Z," + ",".join(f"{v:.5f}" for v in row) for stamp, row in zip(STAMPS, values.T, strict=True)]
    return read("\n".join([HEADER, *rows]), using).quality.notes


def test_a_sound_recording_has_no_notes(read, lines) -> None:
    assert notes(read, turning()) == ()
    assert read(lines(300)).quality.notes == ()


@pytest.mark.parametrize(("channel", "name"), [(1, "accel_y"), (5, "gyro_z")])
@pytest.mark.parametrize("value", [0.0, 0.25])
def test_a_dead_axis(read, channel: int, name: str, value: float) -> None:
    values = turning()
    values[channel] = value
    (note,) = notes(read, values)
    assert note.startswith(f"{name} is ")
    assert "while other axes move" in note


def test_a_sensor_that_is_off(read) -> None:
    values = turning()
    values[3:] = 0
    assert "gyro_x, gyro_y, gyro_z do not change: the sensor was off, or was not worn" in notes(read, values)


def test_one_column_for_two_channels(read) -> None:
    values = turning()
    values[3:] = values[:3]
    found = [note for note in notes(read, values) if "same values" in note]
    assert [note.split(" have")[0] for note in found] == [f"accel_{a} and gyro_{a}" for a in "xyz"]


def test_degrees_declared_as_radians(read) -> None:
    """Slow movements, so that no value is beyond full scale."""
    values = turning()
    values[3:] *= 0.25 * 180 / np.pi
    (note,) = notes(read, values)
    assert "looks like deg/s" in note


def test_radians_declared_as_degrees(read, change) -> None:
    using = change(sensors={"gyroscope": {"unit": "deg/s", "full_scale": 2000}})
    values = turning()
    (note,) = notes(read, values, using)
    assert "looks like rad/s" in note
    values[3:] *= 180 / np.pi
    assert notes(read, values, using) == ()


def test_gravity_removed_from_a_vigorous_movement(read) -> None:
    """At rest such a file is refused; here its median lies where that of a recording with gravity may."""
    values = turning()
    values[:3] = np.random.default_rng(1).normal(0, 0.6, (3, COUNT))
    assert any("gravity seems to be removed" in note for note in notes(read, values))
