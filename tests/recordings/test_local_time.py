"""Wall-clock stamps over the nights on which clocks are put back or forward."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from har.recordings import local_to_utc

BACK = {
    "Europe/Vienna": "2024-10-27T01:00",
    "America/New_York": "2024-11-03T06:00",
    "Australia/Lord_Howe": "2024-04-06T15:00",
}
FORWARD = {"Europe/Vienna": "2024-03-31T01:00", "America/New_York": "2024-03-10T07:00"}


def around(change: str, before_s: int, after_s: int, step_s: float = 1.0) -> NDArray[np.int64]:
    """True times, µs UTC, from before a change to after it."""
    at = int(dt.datetime.fromisoformat(change).replace(tzinfo=dt.UTC).timestamp())
    return np.round((at + np.arange(-before_s, after_s, step_s)) * 1e6).astype(np.int64)


def shown(utc_us: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """What a clock of this zone shows."""
    known = ZoneInfo(zone)
    seconds = utc_us // 1_000_000
    offsets = {
        second: round(dt.datetime.fromtimestamp(second, known).utcoffset().total_seconds())
        for second in np.unique(seconds).tolist()
    }
    return utc_us + np.array([offsets[second] for second in seconds.tolist()]) * 1_000_000


def test_stamps_of_utc_and_of_a_quiet_week_are_converted_without_a_word() -> None:
    summer = around("2024-07-01T00:00", 86_400, 86_400, 60.0)
    assert local_to_utc(summer, "UTC")[0] is summer
    for zone in (*BACK, "Asia/Kolkata", "Pacific/Kiritimati"):
        utc, faults = local_to_utc(shown(summer, zone), zone)
        assert (utc == summer).all()
        assert not faults


@pytest.mark.parametrize(("zone", "change"), [*BACK.items(), *FORWARD.items()])
def test_a_clock_that_follows_its_zone_loses_nothing(zone: str, change: str) -> None:
    night = around(change, 10_000, 10_000)
    utc, faults = local_to_utc(shown(night, zone), zone)
    assert (utc == night).all()
    assert not faults


@pytest.mark.parametrize(("zone", "change"), [*BACK.items(), *FORWARD.items()])
def test_a_clock_that_is_not_set_keeps_its_offset(zone: str, change: str) -> None:
    night = around(change, 10_000, 20_000)
    started = night - night[0] + shown(night[:1], zone)[0]  # it knows no daylight saving
    utc, faults = local_to_utc(started, zone)
    assert (utc == night).all()
    assert len(faults) == 1
    assert "ran on" in next(iter(faults))
    counted, silent = local_to_utc(started, zone, counting=True)
    assert (counted == night).all()
    assert not silent


@pytest.mark.parametrize(("zone", "change"), [("Europe/Vienna", BACK["Europe/Vienna"]), *FORWARD.items()])
def test_a_clock_that_is_set_five_minutes_late_loses_nothing(zone: str, change: str) -> None:
    night = around(change, 10_000, 10_000)
    late = shown(night, zone)
    at = 10_000 + 300
    late[:at] = night[:at] - night[0] + late[0]
    utc, faults = local_to_utc(late, zone)
    assert (utc == night).all()
    assert sum(faults.values()) == 300


def test_a_pause_within_the_repeated_hour_hides_the_step() -> None:
    zone = "Europe/Vienna"
    night = around(BACK[zone], 7200, 7200)
    at = 7200  # of the first second after the change
    recorded = np.concatenate([night[: at - 3000], night[at + 1200 :]])  # 02:10 the first time to 02:20 the second
    utc, faults = local_to_utc(shown(recorded, zone), zone)
    assert (utc == recorded).all()
    assert not faults


def test_a_step_that_a_pause_makes_shorter_is_seen_and_batches_in_another_order_are_not_taken_for_it() -> None:
    zone = "Europe/Vienna"
    night = around(BACK[zone], 7200, 7200)
    at = 7200
    recorded = np.concatenate([night[: at - 600], night[at + 1800 : at + 2400]])  # 02:50, then 02:30 to 02:40
    utc, faults = local_to_utc(shown(recorded, zone), zone)
    assert (utc == recorded).all()
    assert not faults
    batches = np.concatenate([night[: at - 2400], night[at - 1800 : at - 600], night[at - 2400 : at - 1800]])
    utc, _ = local_to_utc(shown(batches, zone), zone)
    assert (utc == batches).all()


@pytest.mark.parametrize(
    ("first", "last"), [(-7200, -1800), (1800, 7200), (-3000, 3000)], ids=["ends", "begins", "begins and steps"]
)
def test_what_lies_beside_the_repeated_hour_decides(first: int, last: int) -> None:
    zone = "Europe/Vienna"
    night = around(BACK[zone], -first, last)
    utc, faults = local_to_utc(shown(night, zone), zone)
    assert (utc == night).all()
    assert not faults


@pytest.mark.parametrize("counting", [False, True])
def test_without_evidence_the_first_pass_is_taken_and_counted(counting: bool) -> None:
    zone = "Europe/Vienna"
    second_pass = around(BACK[zone], -600, 1200)
    utc, faults = local_to_utc(shown(second_pass, zone), zone, counting=counting)
    assert (utc == second_pass - 3_600_000_000).all()
    assert list(faults.values()) == [600]
    assert "Europe/Vienna repeats" in next(iter(faults))


def test_an_hour_far_from_all_other_samples_is_counted_too() -> None:
    zone = "Europe/Vienna"
    night = around(BACK[zone], 20_000, 20_000)
    recorded = np.concatenate([night[:100], night[18_000:18_100], night[-100:]])
    utc, faults = local_to_utc(shown(recorded, zone), zone)
    assert (np.diff(utc) > 0).all()
    assert list(faults.values()) == [100]


def test_a_clock_that_goes_back_twice_is_counted() -> None:
    zone = "Europe/Vienna"
    hour = shown(around(BACK[zone], 3600, 0), zone)
    _, faults = local_to_utc(np.concatenate([hour, hour, hour]), zone)
    assert sum(faults.values()) == 1


def test_a_week_at_100_hz_takes_little_more_memory_than_its_stamps() -> None:
    import tracemalloc

    zone = "Europe/Vienna"
    night = around(BACK[zone], 86_400, 86_400, 0.1)
    wall = night - night[0] + shown(night[:1], zone)[0]
    tracemalloc.start()
    utc, faults = local_to_utc(wall, zone)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (utc == night).all()
    assert faults == Counter({next(iter(faults)): 864_000})
    assert peak < 6 * wall.nbytes
