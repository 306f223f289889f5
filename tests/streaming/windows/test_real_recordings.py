"""Real recordings give the same windows as a file of a day and as messages of a device, bit for bit."""

from __future__ import annotations

import datetime as dt
import random
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from windows_support import SECOND, cut_up, shuffled, stamps

from har.cutting import cut_day
from har.recordings import cut_at_midnight, inbox_files, read_recording
from har.sample import sample_recordings
from har.settings import Settings
from har.streaming.envelope import Arrays, Envelope, Limits, decode, encode
from har.streaming.windows import Assembly, Fate, Taken

MORNING = dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC)
NIGHT = dt.datetime(2024, 1, 1, 23, 59, 48, tzinfo=dt.UTC)
UNITS = {"accelerometer": "g", "gyroscope": "rad/s"}


@cache
def recording(number: int) -> NDArray[np.float64]:
    """Values of a recording in g and rad/s, float64 (n, 6)."""
    one = sample_recordings()[number]
    return np.clip(np.hstack([one.accel_g, one.gyro_rad_s]), -16, 16)


def holes(count: int, seed: int) -> NDArray[np.bool_]:
    """Which samples are kept: some are lost one by one, some in bursts, and once for longer than a gap."""
    draw = random.Random(seed)  # noqa: S311  reproducible, not secret
    kept = np.ones(count, np.bool_)
    for lost in (1, 1, 3, 20, 60):
        first = draw.randrange(100, count - 100)
        kept[first : first + lost] = False
    return kept


def by_file(
    times: NDArray[np.int64], values: NDArray[np.float64], settings: Settings
) -> list[tuple[dt.date, int, bytes]]:
    """Windows of a daily file: date, start and values."""
    first = dt.datetime.fromtimestamp(int(times[0]) / SECOND, settings.project.zone).date()
    path = settings.path("inbox") / first.isoformat() / "s01_walk.csv"
    path.parent.mkdir(parents=True)
    columns = dict(zip(settings.sensors.channels, values.T, strict=True))
    stamp = pl.Series(times).cast(pl.Datetime("us"))
    pl.DataFrame({"time": stamp, **columns}).write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
    files, strays = inbox_files(settings.path("inbox"))
    assert len(files) == 1
    assert not strays
    found = []
    for part in cut_at_midnight(files[0], read_recording(files[0], settings), settings):
        windows, places = cut_day((part.date, "s01"), part.recording.frame, settings, settings.sensors.channels)
        starts = places["start"].to_physical().to_list()
        found += [(part.date, start, one.tobytes()) for start, one in zip(starts, windows.batch(), strict=True)]
    return found


def sent(
    times: NDArray[np.int64], values: NDArray[np.float64], rate_hz: float, settings: Settings, form: str, seed: int
) -> list[Envelope]:
    """The samples as a device would send them, decoded: ragged messages, in the units of the device."""
    draw = random.Random(seed)  # noqa: S311  reproducible, not secret
    sizes = [draw.choice([1, 7, 25, 50, 50, 90]) for _ in range(len(times))]
    limits = Limits.of(settings)
    found = []
    for number, (start, end) in enumerate(cut_up(times, rate_hz, sizes)):
        message = Arrays(
            subject="s01",
            device="watch",
            session="walk",
            sequence=number,
            t0=int(times[start]),
            rate_hz=rate_hz,
            channels=settings.sensors.channels,
            units=UNITS,
            samples=values[start:end],
        )
        found.append(decode(encode(message, form), "", limits))
    return found


def windows_of(taken: Taken) -> list[tuple[dt.date, int, bytes]]:
    return [(window.date, window.start_us, window.values.tobytes()) for window in taken.windows]


@pytest.mark.parametrize("form", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("number", "rate_hz", "begins", "lost"),
    [
        (3, 50.0, MORNING, False),
        (31, 50.0, MORNING, True),
        (77, 50.0, NIGHT, False),
        (78, 50.0, NIGHT, True),
        (100, 51.5, MORNING, True),
        (110, 48.7, NIGHT, True),
        (120, 100.0, MORNING, True),
        (131, 100.0, NIGHT, False),
        (128, 25.0, NIGHT, True),
    ],
)
def test_messages_give_the_windows_of_the_file(
    settings: Settings, number: int, rate_hz: float, begins: dt.datetime, lost: bool, form: str
) -> None:
    values = recording(number)
    times = stamps(len(values), rate_hz, int(begins.timestamp()) * SECOND)
    if lost:
        kept = holes(len(values), number)
        times, values = times[kept], values[kept]
    expected = by_file(times, values, settings)
    assert len(expected) >= 4
    assert begins == MORNING or len({date for date, _, _ in expected}) == 2

    in_order = sent(times, values, rate_hz, settings, form, seed=number)
    assembly = Assembly(settings)
    for order, arrivals in enumerate((in_order, shuffled(in_order, seed=number))):
        fates = []
        for message_id, envelope in enumerate(arrivals):
            fates.append(assembly.offer(message_id, envelope, 0))
        assembly.close_all()
        assert windows_of(assembly.take()) == expected
        assert fates.count(Fate.WAITING) == len(in_order)
        assert fates.count(Fate.DUPLICATE) == len(arrivals) - len(in_order)
        assembly = Assembly(settings)
        assert order or len(arrivals) == len(in_order)


def test_the_lake_cuts_the_stretches_into_the_same_windows(settings: Settings) -> None:
    values = recording(31)
    times = stamps(len(values), 51.5, int(NIGHT.timestamp()) * SECOND)
    kept = holes(len(values), 5)
    arrivals = shuffled(sent(times[kept], values[kept], 51.5, settings, "msgpack", seed=1), seed=2)
    assembly = Assembly(settings)
    for message_id, envelope in enumerate(arrivals):
        assembly.offer(message_id, envelope, 0)
    assembly.close_all()
    taken = assembly.take()
    channels = settings.sensors.channels
    scored = []
    for date in sorted({stretch.date for stretch in taken.stretches}):
        frame = pl.concat(
            pl.DataFrame(
                {
                    "session": stretch.session,
                    "segment": pl.Series(np.full(len(stretch.times), stretch.segment, np.int32)),
                    "time": pl.Series(stretch.times).cast(pl.Datetime("us", "UTC")),
                    **dict(zip(channels, stretch.values.T, strict=True)),
                },
                schema_overrides={"session": pl.String},
            )
            for stretch in taken.stretches
            if stretch.date == date
        )
        windows, places = cut_day((date, "s01"), frame, settings, channels)
        starts = places["start"].to_physical().to_list()
        scored += [(date, start, one.tobytes()) for start, one in zip(starts, windows.batch(), strict=True)]
    assert scored == windows_of(taken)
    assert len({date for date, _, _ in scored}) == 2


def test_a_cut_message_is_refused_and_the_others_give_the_windows_around_it(settings: Settings) -> None:
    values, limits = recording(3), Limits.of(settings)
    times = stamps(len(values), 50.0, int(MORNING.timestamp()) * SECOND)
    envelopes = sent(times, values, 50.0, settings, "msgpack", seed=4)
    gone = next(number for number, one in enumerate(envelopes) if number > 10 and len(one.samples) == 90)
    place = int(np.searchsorted(times, envelopes[gone].t0_us))
    kept = np.ones(len(times), np.bool_)
    kept[place : place + 90] = False
    expected = by_file(times[kept], values[kept], settings)
    assembly = Assembly(settings)
    for number, envelope in enumerate(envelopes):
        if number != gone:
            assembly.offer(number, envelope, 0)
    assembly.close_all()
    taken = assembly.take()
    assert windows_of(taken) == expected
    assert sum(taken.missing.values()) == 1
    assert limits.channels == settings.sensors.channels


@pytest.fixture
def settings(project: Path) -> Settings:
    """The settings of a project whose lateness lets every message of these tests in."""
    from har.settings import load_settings

    text = (project / "har.toml").read_text()
    (project / "har.toml").write_text(text + "\n[stream]\nlateness_s = 6\n")
    return load_settings(project)
