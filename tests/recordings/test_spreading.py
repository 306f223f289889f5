"""Rows that share a stamp: spread over the time that they cover, or refused; the signal is that of the device."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from har.errors import RecordingTimeError
from har.recordings._spreading import MOST_DROPPED, spread
from har.recordings._table import Parsed

HEADER = "time,accel_x,accel_y,accel_z,gyro_x,gyro_y,gyro_z"
START_US = 1_704_096_000_000_000  # 2024-01-01T08:00Z


def truth(seconds: np.ndarray) -> np.ndarray:
    """A moving wrist, (6, n) in g and rad/s: the true signal at any time."""
    turn = 2 * np.pi * seconds
    return np.stack(
        [
            0.4 * np.sin(1.3 * turn) + 0.1 * np.sin(3.1 * turn),
            0.3 * np.cos(0.7 * turn) + 0.1 * np.sin(4.5 * turn),
            1 + 0.2 * np.sin(0.4 * turn),
            2 * np.sin(1.1 * turn + 1),
            np.cos(2.3 * turn),
            np.sin(0.9 * turn),
        ]
    )


def content(taken_s: np.ndarray, stamps_us: np.ndarray) -> str:
    """A CSV of samples taken at `taken_s`, stamped otherwise."""
    values = truth(taken_s).T
    stamps = np.datetime_as_string(stamps_us.astype("datetime64[us]"))
    rows = [f"{stamp}Z," + ",".join(f"{v:.5f}" for v in row) for stamp, row in zip(stamps, values, strict=True)]
    return "\n".join([HEADER, *rows]) + "\n"


def correlation(recording) -> float:
    """The least correlation of a channel in the lake with the true signal, up to a constant shift of the clock."""
    frame = recording.frame
    at = (frame["time"].to_physical().to_numpy() - START_US) / 1e6
    channels = frame.select(HEADER.split(",")[1:]).to_numpy().T
    # Whether a stamp is that of the first or the last sample of a packet is not always known.
    shifts = np.arange(-0.1, 1.1, 0.005)
    first = truth(at[None, :] - shifts[:, None])[0]
    best = shifts[np.argmax([np.corrcoef(channels[0], one)[0, 1] for one in first])]
    return float(min(np.corrcoef(a, b)[0, 1] for a, b in zip(channels, truth(at - best), strict=True)))


COUNT = 3000
TAKEN = np.arange(COUNT) / 50
STAMPS = START_US + np.arange(COUNT) * 20_000


def packets(size: int, last: bool = False) -> np.ndarray:
    row = np.arange(COUNT)
    return STAMPS[np.minimum(row // size * size + (size - 1 if last else 0), COUNT - 1)]


def varying(last: bool) -> np.ndarray:
    packet = np.repeat(np.arange(COUNT), np.random.default_rng(3).integers(1, 24, COUNT))[:COUNT]
    side = np.searchsorted(packet, packet, side="right") - 1 if last else np.searchsorted(packet, packet)
    return STAMPS[side]


def delayed() -> np.ndarray:
    """Packets of five whose transmission takes up to 60 ms, in order."""
    delay = np.repeat(np.random.default_rng(4).integers(0, 60_000, COUNT // 5), 5)
    return np.maximum.accumulate(packets(5, last=True) + delay)


def stalled() -> np.ndarray:
    """One hour's middle came at once: 300 rows with the stamp of their arrival."""
    stamps = STAMPS.copy()
    stamps[1000:1300] = stamps[1300]
    return stamps


@pytest.mark.parametrize(
    "stamps",
    [
        packets(3), packets(25), packets(25, last=True), varying(last=False), varying(last=True), delayed(), stalled(),
        STAMPS // 100_000 * 100_000, STAMPS // 1_000_000 * 1_000_000, (STAMPS + 630_000) // 1_000_000 * 1_000_000,
        packets(4) + np.arange(COUNT) % 4 * 1000,
    ],
    ids=[
        "3 per stamp", "25 per stamp", "25, stamped at the end", "varying", "varying, stamped at the end", "delayed",
        "stalled", "tenths", "whole seconds", "whole seconds, from the middle of one", "stamped on arrival",
    ],
)  # fmt: skip
def test_the_signal_is_kept(read, stamps: np.ndarray) -> None:
    recording = read(content(TAKEN, stamps))
    quality = recording.quality
    assert (quality.samples_read, quality.samples_kept, quality.dropped) == (COUNT, COUNT, 0)
    assert quality.interpolated == 0
    assert quality.stamps_spread >= 300
    assert len(recording.frame) == pytest.approx(COUNT, rel=0.01)
    assert correlation(recording) > 0.95
    (note,) = quality.notes
    assert "rows share their stamp" in note
    assert "50 Hz" in note


@pytest.mark.parametrize("hz", [25, 48.3, 52, 100, 104.3])
@pytest.mark.parametrize("grid_us", [20_000, 100_000, 1_000_000])
def test_coarse_stamps_of_other_rates(read, hz: float, grid_us: int) -> None:
    taken = np.arange(int(60 * hz)) / hz
    recording = read(content(taken, START_US + np.round(taken * 1e6).astype(np.int64) // grid_us * grid_us))
    assert recording.quality.dropped == 0
    assert recording.quality.measured_rate_hz == pytest.approx(hz, rel=0.05)
    assert correlation(recording) > 0.95


def test_lost_packets_leave_gaps_and_nothing_is_made_up_for_them(read) -> None:
    lost = np.zeros(COUNT, np.bool_)
    for packet in (10, 40, 41, 90):
        lost[packet * 25 : (packet + 1) * 25] = True
    recording = read(content(TAKEN[~lost], packets(25)[~lost]))
    assert recording.quality.gaps == 3
    assert len(recording.frame) == COUNT - 100
    assert recording.quality.interpolated == 0
    assert correlation(recording) > 0.95


def test_a_short_file_of_whole_seconds(read) -> None:
    recording = read(content(TAKEN[:90], STAMPS[:90] // 1_000_000 * 1_000_000))
    assert len(recording.frame) == 90
    assert correlation(recording) > 0.95


def refused(read, text: str, *words: str) -> RecordingTimeError:
    with pytest.raises(RecordingTimeError) as caught:
        read(text)
    for word in words:
        assert word in str(caught.value)
    return caught.value


def test_stamps_that_a_spreadsheet_shortened_are_refused(read, change) -> None:
    error = refused(read, content(TAKEN, np.full(COUNT, START_US)), "3,000 rows with one stamp", "spreadsheet")
    assert error.line == 2
    shortened = STAMPS.copy()
    shortened[1500:] = shortened[1500]
    assert refused(read, content(TAKEN, shortened), "1,499 of 3,000 rows").line == 1502
    # 1.70410E+12 in ms: a stamp for 10,000 s
    rows = "\n".join(["1.70410E+12,0,0,1,0,0,0"] * 200 + ["1.70410E+12,0,0,1.01,0,0,0"])
    with pytest.raises(RecordingTimeError, match=r"with one stamp|repeat"):
        read(f"{HEADER}\n{rows}\n", change(recordings={"time_unit": "ms"}))


def test_a_few_rows_without_room_are_dropped_and_counted_and_more_are_refused(read) -> None:
    taken, stamps = np.insert(TAKEN, 100, 7.0), np.insert(STAMPS, 100, STAMPS[99])
    recording = read(content(taken, stamps))
    assert (recording.quality.duplicate_stamps, recording.quality.samples_kept) == (1, COUNT)
    many = np.arange(10, COUNT, 20)
    rng = np.random.default_rng(5)
    taken, stamps = np.insert(TAKEN, many, rng.uniform(0, 60, len(many))), np.insert(STAMPS, many, STAMPS[many - 1])
    refused(read, content(taken, stamps), "150 of 3,150 rows whose values differ", "Two devices or sensors")
    bunch = np.repeat(np.arange(100, COUNT, 300), 20)
    elsewhere = rng.uniform(0, 60, len(bunch))
    refused(read, content(np.insert(TAKEN, bunch, elsewhere), np.insert(STAMPS, bunch, STAMPS[bunch])), "200 of 3,200")


def test_every_row_written_twice_is_one_recording(read) -> None:
    recording = read(content(np.repeat(TAKEN, 2), np.repeat(STAMPS, 2)))
    assert (recording.quality.duplicates, recording.quality.samples_kept) == (COUNT, COUNT)
    assert correlation(recording) > 0.999


def test_two_devices_in_one_file_are_refused(read) -> None:
    taken = np.stack([TAKEN, TAKEN + 0.37], axis=1).ravel()
    refused(read, content(taken, np.repeat(STAMPS, 2)), "2 rows per stamp", "Two devices or sensors")


def test_packets_of_a_sensor_that_is_off_keep_their_rows(read) -> None:
    """Equal samples of a packet are no repetitions."""
    rows = [f"{s}Z,0,0,1,0,0,0" for s in np.datetime_as_string(packets(3).astype("datetime64[us]"))]
    quality = read("\n".join([HEADER, *rows])).quality
    assert (quality.samples_kept, quality.stuck, quality.interpolated) == (COUNT, COUNT, 0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_mixture_of_stamps_is_lost_in_silence(data: st.DataObject) -> None:
    """Whatever the stamps: kept rows keep their order, dropped ones are few and counted, or it is refused."""
    sizes = data.draw(st.lists(st.sampled_from([1, 1, 1, 2, 3, 25, 60]), min_size=1, max_size=80))
    steps = data.draw(
        st.lists(st.sampled_from([1, 20, 60, 500, 1000, 70_000]), min_size=len(sizes), max_size=len(sizes))
    )
    times = START_US + np.repeat(np.cumsum(steps), sizes) * 1000
    count = len(times)
    empty = pl.Series(dtype=pl.Float64)
    parsed = Parsed("2024-01-01/s01_a.csv", "line", np.arange(2, count + 2), empty, (empty,), None)
    values = truth(np.arange(count) / 50).astype(np.float32)
    labels = np.zeros(count, np.int16)
    try:
        got = spread(parsed, np.arange(count), times, values, labels, nominal_hz=50.0, max_gap_s=0.5)
    except RecordingTimeError as error:
        assert 2 <= error.line <= count + 1
        return
    assert (np.diff(got.times) > 0).all()
    assert (np.diff(got.kept) > 0).all()
    assert len(got.kept) + got.duplicates + got.duplicate_stamps == count
    assert got.duplicates == 0
    assert got.duplicate_stamps <= max(1, MOST_DROPPED * count)
