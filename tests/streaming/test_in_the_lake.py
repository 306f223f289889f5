"""How the jobs of the night and people's labels treat what was answered live: each movement counts once."""

from __future__ import annotations

import datetime as dt

import polars as pl
from stream_support import FIRST_US, SECOND, Bench, bench, flush, messages, model_of, movement

from har.dataset import window_labels
from har.inference import Classifier
from har.jobs._placing import add_feedback
from har.jobs.score import chunks_to_score, pending, score_chunk
from har.journal import FEEDBACK
from har.lake import Lake, losses
from har.predictions import activity_minutes, counted_once
from har.settings import Settings
from har.streaming.envelope import StreamKey

_KEY = StreamKey("s01", "watch", "walk")


def _lake(settings: Settings) -> Lake:
    return Lake(settings.path("lake"), settings.sensors.channels)


def _score(settings: Settings) -> None:
    lake = _lake(settings)
    model_of(settings)
    for chunk in chunks_to_score(lake, pending(lake, 1)):
        score_chunk(lake, settings, Classifier(settings.root / "mean-model.onnx", threads=1), 1, chunk)


def _stream(one: Bench, part: slice) -> None:
    one.queue.put(messages(_KEY, movement(120, seed=1))[part])
    one.settle()
    flush(one.settings)


def test_a_day_that_is_scored_half_way_counts_each_window_once(settings: Settings) -> None:
    lake = _lake(settings)
    with bench(settings) as one:
        _stream(one, slice(0, 60))
        live = counted_once(lake.predictions.read())
        first = lake.contents()
        _score(settings)
        scored = lake.predictions.read()
        assert len(live) < len(scored) <= 2 * len(live)
        assert len(counted_once(scored)) == len(live)
        assert losses(lake) == []
        _stream(one, slice(60, 120))
        assert lake.contents() != first
        mixed = counted_once(lake.predictions.read())
        assert mixed["start"].n_unique() == len(mixed) > len(live)
        one.quiet()
    flush(settings)
    _score(settings)
    assert pending(lake, 1) == {}
    assert losses(lake) == []
    whole = counted_once(lake.predictions.read())
    assert whole["request_id"].null_count() == len(whole) == 59
    assert activity_minutes(whole)["minutes"].sum() == 2.0


def test_feedback_about_an_interval_is_placed_at_once_and_counts_once(settings: Settings) -> None:
    lake = _lake(settings)
    with bench(settings) as one:
        _stream(one, slice(0, 120))
        one.quiet()
    flush(settings)
    begin = dt.datetime.fromtimestamp(FIRST_US / 1e6, dt.UTC)
    claim = {
        "feedback_id": "f1",
        "received_at": begin + dt.timedelta(hours=1),
        "activity": "PEN",
        "request_id": None,
        "subject": "s01",
        "start": begin,
        "end": begin + dt.timedelta(microseconds=12 * SECOND),
        "source": "app, token t1",
    }
    feedback = pl.DataFrame([claim], FEEDBACK, orient="row")
    assert add_feedback(lake, feedback, pl.Series("request_id", [], pl.String)) == 1
    label = lake.labels.read().row(0, named=True)
    assert (label["start"], label["end"]) == (claim["start"], claim["end"])
    before = window_labels(lake, settings)
    _score(settings)
    after = window_labels(lake, settings)
    assert after.equals(before)
    assert after["start"].n_unique() == len(after)


def test_samples_that_break_the_contract_go_to_quarantine_with_the_reason(settings: Settings) -> None:
    values = movement(120, seed=1)
    values[:, 2] -= 9.4  # gravity was removed
    with bench(settings) as one:
        one.queue.put([*messages(_KEY, values), *messages(StreamKey("s02", "watch", "a"), movement(60, seed=2))])
        one.quiet()
    sunk = flush(settings)
    assert sunk.quarantined > 0
    lake = _lake(settings)
    assert lake.samples.read()["subject"].unique().to_list() == ["s02"]
    assert lake.predictions.read()["subject"].unique().to_list() == ["s02"]
    folder = settings.path("quarantine") / "stream" / "2024-01-09"
    kept = pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])
    assert len(kept) == 6000
    assert "rest" in next(folder.glob("*.json")).read_text()


def test_a_session_of_a_file_is_not_mixed_with_a_streamed_one(settings: Settings) -> None:
    lake = _lake(settings)
    date = dt.date(2024, 1, 9)
    row = {"date": date, "subject": "s01", "session": "walk", "file": "2024-01-09/s01_walk.csv"}
    lake.recordings.replace(pl.DataFrame([row], lake.recordings.schema), [(date, "s01")])
    with bench(settings) as one:
        one.queue.put(messages(_KEY, movement(60, seed=1)))
        one.quiet()
    assert flush(settings).quarantined > 0
    assert lake.samples.version() == -1
    assert len(lake.recordings.read()) == 1


def test_two_devices_that_call_their_sessions_alike_keep_sessions_of_their_own(settings: Settings) -> None:
    other = StreamKey("s01", "phone", "walk")
    with bench(settings) as one:
        one.queue.put([*messages(_KEY, movement(60, seed=1)), *messages(other, movement(60, seed=2))])
        one.settle()
        flush(settings)
    with bench(settings) as one:  # a restart keeps the names
        one.quiet()
    assert flush(settings).quarantined == 0
    lake = _lake(settings)
    recorded = {row["session"]: (row["device"], row["samples"]) for row in lake.recordings.read().to_dicts()}
    assert recorded == {"walk": ("watch", 3000), "walk.phone": ("phone", 3000)}
    assert lake.samples.count() == 6000
    assert lake.predictions.read().group_by("session").len()["len"].to_list() == [29, 29]
