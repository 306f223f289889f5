"""What the phone app Sensor Logger pushes over HTTP and MQTT: readings of each sensor with stamps of their own.

    {"messageId": 0, "sessionId": "…", "deviceId": "…", "payload": [
        {"name": "accelerometer", "time": 1698501144401773000, "values": {"x": 0.1, "y": 0.2, "z": 0.3}}, …]}

Stamps are ns since 1970, UTC. `totalacceleration` (Android) has gravity in it; `accelerometer` has not, and `gravity`
is added. Both are in m/s², `gyroscope` is in rad/s. `wrist motion`, of a watch, has all three in one reading, in m/s²
or g; the length of the gravity vector tells which, and in g all signs are turned. Axes are Android's if "Standardise
Units & Frames" is on in the app: an iPhone's are the opposite otherwise, which no message shows.
Source: github.com/tszheichoi/awesome-sensor-logger.

The app has no name for the subject. It is the one that `addressed` put into the message (from the topic or the address
that the phone sends to), else the participant of the app's study, else "phone-" and the beginning of the device's id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from har.errors import EnvelopeError
from har.streaming.envelope.formats._message import Arrays, Format

_STANDARD_GRAVITY = 9.80665
_LONGEST_PAUSE_S = 0.5
_PERIODS_BEYOND = 1.5
"""The other sensor's value is held for so many of its periods beyond its first and last reading of a message."""
_APP = "In the app, switch on Accelerometer, Gravity (Android: Total Acceleration) and Gyroscope."


class _Reading(msgspec.Struct):
    name: str
    time: int | float | str
    values: dict[str, object] = {}


class _Push(msgspec.Struct):
    messageId: int  # noqa: N815
    sessionId: str  # noqa: N815
    deviceId: str  # noqa: N815
    payload: list[_Reading]
    userId: str = ""  # noqa: N815
    subject: str = ""
    placement: str = ""


class _Series(NamedTuple):
    """One sensor: stamps in µs, increasing, from the message's first; values (n, 3)."""

    at: NDArray[np.float64]
    values: NDArray[np.float64]


_decoder = msgspec.json.Decoder(_Push)


def addressed(body: bytes, *, subject: str, placement: str = "") -> bytes:
    """The app's message with the subject and placement that its topic or address names; other bodies as they are."""
    if not subject or not recognises(body):
        return body
    said = msgspec.json.encode({"subject": subject} | ({"placement": placement} if placement else {}))
    return said[:-1] + b"," + body.lstrip()[1:]


def recognises(body: bytes) -> bool:
    """Whether it looks like the app's."""
    return body.lstrip()[:1] == b"{" and b'"messageId"' in body and b'"payload"' in body


def read(body: bytes) -> Arrays:
    """A message on one grid: the accelerometer's rate, from its first to its last reading.

    Raises:
        EnvelopeError: a sensor is missing or pauses.
    """
    push = _decoder.decode(body)
    by_name: dict[str, list[_Reading]] = {}
    for reading in push.payload:
        by_name.setdefault(reading.name.replace(" ", "").lower(), []).append(reading)
    first_us = _stamp_us(min((reading.time for reading in push.payload), key=_stamp_us, default=0))
    accelerometer, gyroscope = _sensors(by_name, first_us)
    grid = _grid(accelerometer, gyroscope)
    columns = [_on(grid, accelerometer)]
    if gyroscope is not None:
        columns.append(_on(grid, gyroscope))
    return Arrays(
        subject=push.subject or push.userId or f"phone-{push.deviceId[:8]}",
        device=push.deviceId,
        session=push.sessionId,
        sequence=push.messageId,
        t0=round(first_us + grid[0]),
        rate_hz=float((len(grid) - 1) / (grid[-1] - grid[0]) * 1e6),
        channels=tuple(f"{name}.{axis}" for name in ("accelerometer", "gyroscope")[: len(columns)] for axis in "xyz"),
        units={"accelerometer": "m/s^2", "gyroscope": "rad/s"},
        placement=push.placement,
        samples=np.concatenate(columns, axis=1),
    )


def _sensors(by_name: dict[str, list[_Reading]], first_us: float) -> tuple[_Series, _Series | None]:
    """Acceleration with gravity in m/s², and rotation in rad/s."""

    def series(name: str, *keys: str) -> _Series:
        return _series(by_name[name], keys or ("x", "y", "z"), first_us)

    if "totalacceleration" in by_name:
        accelerometer = series("totalacceleration")
    elif "accelerometer" in by_name and "gravity" in by_name:
        moved, gravity = series("accelerometer"), series("gravity")
        _without_pause(gravity, "gravity")
        accelerometer = _Series(moved.at, moved.values + _on(moved.at, gravity))
    elif "wristmotion" in by_name:
        return _watch(series)
    else:
        found = ", ".join(sorted(by_name)[:30]) or "nothing"
        raise EnvelopeError(
            where="payload",
            expected="readings of totalacceleration, or of accelerometer and gravity",
            got=found,
            remedy=_APP if by_name else f"{_APP} The app's test message holds no samples.",
        )
    return accelerometer, series("gyroscope") if "gyroscope" in by_name else None


def _watch(series: Callable[..., _Series]) -> tuple[_Series, _Series]:
    moved, gravity, rotation = (
        series("wristmotion", *(f"{kind}{axis}" for axis in "XYZ"))
        for kind in ("acceleration", "gravity", "rotationRate")
    )
    length = float(np.median(np.linalg.norm(gravity.values, axis=1)))
    # An Apple Watch writes g, with Apple's signs, until it is standardised.
    unit = -_STANDARD_GRAVITY if length < _STANDARD_GRAVITY / 2 else 1.0
    return _Series(moved.at, (moved.values + gravity.values) * unit), rotation


def _series(readings: list[_Reading], keys: Iterable[str], first_us: float) -> _Series:
    where = f"payload, {readings[0].name}"
    try:
        values = np.array([[float(reading.values[key]) for key in keys] for reading in readings])  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError) as error:
        raise EnvelopeError(
            where=where,
            expected=f"numbers {', '.join(keys)} in the values of every reading",
            got=f"{type(error).__name__}: {error}"[:100],
            remedy="Update the app; the handbook names the version of its format that is read.",
        ) from error
    at, chosen = np.unique([_stamp_us(reading.time) - first_us for reading in readings], return_index=True)
    return _Series(at.astype(np.float64), values[chosen])


def _stamp_us(time: float | str) -> float:
    """Whole ns as µs; in float64 they are good to a quarter of a µs in this century."""
    if not isinstance(time, int):
        try:
            time = int(time)
        except (ValueError, OverflowError) as error:
            raise EnvelopeError(
                where="payload, time",
                expected="ns since 1970",
                got=repr(time)[:40],
                remedy="Update the app; the handbook names the version of its format that is read.",
            ) from error
    return time / 1000


def _grid(accelerometer: _Series, gyroscope: _Series | None) -> NDArray[np.float64]:
    """Evenly spaced µs from the accelerometer's first to its last reading, where the gyroscope has readings, too."""
    _without_pause(accelerometer, "accelerometer")
    at = accelerometer.at
    period = float(np.median(np.diff(at)))
    if gyroscope is not None:
        _without_pause(gyroscope, "gyroscope")
        beyond = _PERIODS_BEYOND * max(period, float(np.median(np.diff(gyroscope.at))))
        at = at[(at >= gyroscope.at[0] - beyond) & (at <= gyroscope.at[-1] + beyond)]
    if len(at) < 2:
        raise EnvelopeError(
            where="payload",
            expected="accelerometer and gyroscope of the same time",
            got="readings that do not overlap",
            remedy="Give both sensors the same sampling frequency in the app.",
        )
    return np.linspace(at[0], at[-1], round((at[-1] - at[0]) / period) + 1)


def _without_pause(series: _Series, name: str) -> None:
    longest = float(np.diff(series.at).max(initial=0)) / 1e6
    if len(series.at) > 1 and longest <= _LONGEST_PAUSE_S:
        return
    raise EnvelopeError(
        where=f"payload, {name}",
        expected=f"readings at most {_LONGEST_PAUSE_S:g} s apart",
        got=f"a pause of {longest:.1f} s" if longest else "one reading",
        remedy="Raise the sampling frequency in the app, and let it run in the background.",
    )


def _on(grid: NDArray[np.float64], series: _Series) -> NDArray[np.float64]:
    return np.stack([np.interp(grid, series.at, column) for column in series.values.T], axis=1)


FORMAT = Format(
    name="sensor-logger",
    content_types=("application/vnd.sensor-logger+json",),
    read=read,
    recognises=recognises,
)
