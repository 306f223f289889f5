"""The hot store is filled from the lake, and a running consumer's newer word stays."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import pytest
from stream_lake_support import FIRST, put_days

from har.jobs.rebuild import RebuildReport, rebuild
from har.lake import Lake
from har.project import Project
from har.settings import Settings
from har.streaming.baselines import update
from har.streaming.state import HOT_FILE, HotStore, open_hot


@pytest.fixture
def present() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture
def filled(lake: Lake, settings: Settings, present: dt.datetime) -> Settings:
    """Three days of S01 and one of S02 from the stream, the last of them today; S03 came as a file."""
    today = (present.date() - FIRST).days
    put_days(
        lake,
        *((today - ago, "S01", 30, "PEN") for ago in range(3)),
        (today, "S02", 15, "ABD"),
        request_id="stream-1",
    )
    put_days(lake, (today, "S03", 15, "ABD"))
    rows = [
        {
            "date": FIRST + dt.timedelta(days=day),
            "subject": subject,
            "session": "a",
            "ingested_at": present - dt.timedelta(minutes=5, days=today - day),
            "measured_rate_hz": 50.0,
            "device": f"watch-{subject}",
            "placement": "wrist",
        }
        for day, subject in [*((today - ago, "S01") for ago in range(3)), (today, "S02"), (today, "S03")]
    ]
    frame = pl.DataFrame(rows).with_columns(
        pl.lit(None).alias(name) for name in lake.recordings.schema if name not in rows[0]
    )
    schema = lake.recordings.schema
    lake.recordings.replace(
        frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items()),
        [(row["date"], row["subject"]) for row in rows],
    )
    update(lake, settings)
    return settings


@pytest.fixture
def hot(filled: Settings) -> Iterator[HotStore]:
    store = open_hot(filled)
    yield store
    store.close()


def test_states_answers_devices_and_baselines_come_back(filled: Settings, hot: HotStore, present: dt.datetime) -> None:
    report = rebuild(Project(filled), now=present)

    assert report == RebuildReport(subjects=2, answers=75, baselines=1)
    one, two = hot.subjects()
    assert (one.subject, two.subject) == ("S01", "S02")
    assert (one.windows, one.minutes) == (30, {"PEN": pytest.approx(62 / 60, abs=1e-3)})
    assert one.date == present.date().isoformat()
    assert one.answer == hot.answers("S01")[-1]
    assert len(hot.answers("S01")) == 60, "those of the third day are older than keep_h, and not among the recordings"
    assert [(device.device, device.placement, device.rate_hz) for device in one.devices] == [
        ("watch-S01", "wrist", 50.0)
    ]
    assert one.seen_us == one.devices[0].seen_us == round((present - dt.timedelta(minutes=5)).timestamp() * 1e6)
    assert one.baseline["share.PEN"] == 1 and not two.baseline


def test_twice_is_the_same_as_once(filled: Settings, hot: HotStore, present: dt.datetime) -> None:
    rebuild(Project(filled), now=present)
    before = hot.subjects(), hot.answers("S01")

    rebuild(Project(filled), now=present)

    assert (hot.subjects(), hot.answers("S01")) == before


def test_what_a_consumer_wrote_meanwhile_stays_unless_the_store_is_cleared(
    filled: Settings, hot: HotStore, present: dt.datetime
) -> None:
    rebuild(Project(filled), now=present)
    old = hot.subject("S01")
    assert old is not None
    newer = replace(old, seen_us=old.seen_us + 1, windows=31, answer=replace(old.answer, activity="ABD"))
    hot.write([newer, replace(newer, subject="S99")], {})

    assert rebuild(Project(filled), now=present).newer == 2, "S02 is as the lake has it"
    assert hot.subject("S01") == newer

    rebuild(Project(filled), clear=True, now=present)
    assert [found.windows for found in hot.subjects()] == [30, 15]


def test_a_damaged_file_is_made_again(filled: Settings, present: dt.datetime) -> None:
    path = filled.path("stream") / HOT_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no database" * 500)

    assert rebuild(Project(filled), now=present).subjects == 2


def test_an_empty_lake_gives_an_empty_store(settings: Settings) -> None:
    assert rebuild(Project(settings)) == RebuildReport(0, 0, 0)
