"""Collecting the prediction log: the rows of each line; lines that are malformed, late or repeated; open files."""

from __future__ import annotations

import base64
import datetime as dt
import fcntl
import json

import numpy as np
import polars as pl
import pytest
from journal_support import (
    FEATURES,
    NOON,
    NOON_US,
    SECOND,
    Log,
    busy_day,
    encoded,
    feedback,
    prediction,
    shadow,
    tables,
)

from har.errors import LakeError
from har.jobs import collect as collection
from har.jobs.collect import CollectReport, collect_files, journal_files, log_chunks
from har.lake import Lake, Table
from har.settings import Settings


@pytest.fixture
def log(settings: Settings) -> Log:
    return Log(settings)


def test_a_window_becomes_a_row_of_each_table(log: Log, lake: Lake) -> None:
    path = log.write(prediction(0, windows=3), shadow(0, windows=3), prediction(1, subject=None, session=None))
    report = log.collect(lake)
    assert (report.files, report.requests, report.predictions, report.open) == (1, 4, 4, 0)
    assert not path.exists()
    predictions, requests, _ = tables(lake)
    starts = [NOON + dt.timedelta(seconds=second) for second in (0, 2, 4, 60)]
    assert predictions.select("date", "subject", "session", "start", "activity", "abstained", "request_id").rows() == [
        (NOON.date(), "s00", "watch", starts[0], "PEN", False, "r0"),
        (NOON.date(), "s00", "watch", starts[1], "ROW", False, "r0"),
        (NOON.date(), "s00", "watch", starts[2], "ABD", True, "r0"),
        (NOON.date(), "unknown", "online", starts[3], "PEN", False, "r1"),
    ]
    assert ((predictions["end"] - predictions["start"]) == dt.timedelta(seconds=4)).all()
    assert predictions["confidence"].to_list() == [0.75, 0.5, 0.25, 0.75]
    assert predictions["model_version"].to_list() == [3] * 4
    assert requests["features"].to_list() == [
        *([float(first + step) for step in range(FEATURES)] for first in (0, 5, 10)),
        [1.0, 2.0, 3.0, 4.0, 5.0],
    ]
    assert requests.select("shadow_version", "shadow_activity", "shadow_confidence").rows() == [
        (9, "IR", 0.125),
        (9, "ER", 0.25),
        (9, "FEL", 0.5),
        (None, None, None),
    ]
    assert requests.select("fallback", "ms", "received_at").row(3) == (None, 0.25, starts[3])


def test_a_request_over_midnight_lies_in_two_days(log: Log, lake: Lake) -> None:
    midnight = NOON_US + 12 * 3600 * SECOND
    log.write(prediction(0, windows=3, start_us=midnight - 2 * SECOND), feedback("f", request_id="r0"))
    assert log.collect(lake).labels == 1
    predictions, _, labels = tables(lake)
    assert predictions["date"].to_list() == [dt.date(2024, 1, 1), dt.date(2024, 1, 2), dt.date(2024, 1, 2)]
    [label] = labels.rows(named=True)
    assert (label["date"], label["subject"]) == (dt.date(2024, 1, 1), "s00")
    assert (label["end"] - label["start"]).total_seconds() == 8


def test_models_of_other_features_and_rules_without_any(log: Log, lake: Lake) -> None:
    other = base64.b64encode(np.array([7, 8], "<f4").tobytes()).decode()
    lines = [prediction(0), prediction(1, features=None, fallback="rule", model_version=0)]
    log.write(*lines, prediction(2, features=other, activity=["SKIPPING"]), prediction(3, windows=2))
    assert log.collect(lake).requests == 5
    predictions, requests, _ = tables(lake)
    assert [None if row is None else len(row) for row in requests["features"]] == [
        FEATURES,
        None,
        2,
        FEATURES,
        FEATURES,
    ]
    assert requests["features"][2].to_list() == [7.0, 8.0]
    assert requests["fallback"].to_list() == [None, "rule", None, None, None]
    assert predictions["activity"][2] == "SKIPPING"


def test_collecting_again_adds_nothing(log: Log, lake: Lake) -> None:
    lines = [
        prediction(0, windows=2),
        shadow(0, windows=2),
        feedback("f", request_id="r0"),
        feedback("g", request_id="x"),
    ]
    log.write(*lines)
    log.collect(lake)
    before = tables(lake)
    log.write(*lines, *lines)
    report = log.collect(lake)
    assert (report.requests, report.predictions, report.labels, report.shadows, report.waiting) == (0, 0, 0, 0, 1)
    assert all(left.equals(right) for left, right in zip(before, tables(lake), strict=True))


def test_a_file_that_is_still_written_to_is_read_and_stays(log: Log, lake: Lake) -> None:
    whole = encoded(prediction(1))
    path = log.write(prediction(0), tail=whole[:50])
    with path.open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        first = log.collect(lake)
        assert (first.files, first.open, first.requests, first.torn) == (0, 1, 1, 0)
        assert path.exists()
        writer.write(whole[50:] + encoded(shadow(0)))
        writer.flush()
        second = log.collect(lake)
        assert (second.open, second.requests, second.shadows) == (1, 1, 1)
        assert log.collect(lake).shadows == 0
    last = log.collect(lake)
    assert (last.files, last.requests, last.shadows) == (1, 0, 0)
    assert not path.exists()
    assert lake.requests.read().sort("request_id")["shadow_activity"].to_list() == ["IR", None]


def test_the_incomplete_line_of_a_killed_writer_is_counted(log: Log, lake: Lake) -> None:
    path = log.write(prediction(0), tail=encoded(prediction(1))[:-1])
    report = log.collect(lake)
    assert (report.torn, report.requests, report.bad) == (1, 1, [])
    assert not path.exists()


MALFORMED = {
    "no JSON": b"{]",
    "cut": b'{"kind": "prediction", "request_id": "r',
    "no object": b"[1, 2]",
    "empty": b"",
    "no text": b"\xff\xfe",
    "kind": encoded({"kind": "guess"})[:-1],
    "missing": json.dumps({name: value for name, value in prediction(7).items() if name != "ms"}).encode(),
    "type": encoded(prediction(7, start_us="noon"))[:-1],
    "stride": encoded(prediction(7, stride_us=0))[:-1],
    "subject": encoded(prediction(7, subject="../../etc"))[:-1],
    "lengths": encoded(prediction(7, activity=["PEN", "ROW"]))[:-1],
    "no windows": encoded(prediction(7, activity=[], confidence=[], abstained=[]))[:-1],
    "base64": encoded(prediction(7, features="%%%%"))[:-1],
    "part of a number": encoded(prediction(7, features=base64.b64encode(b"12345").decode()))[:-1],
    "no features": encoded(prediction(7, features=""))[:-1],
    "far future": encoded(prediction(7, start_us=253_402_300_799 * SECOND))[:-1],
    "shadow's lengths": encoded(shadow(7, confidence=[0.5, 0.5]))[:-1],
    "about nothing": encoded(feedback("f"))[:-1],
    "about both": encoded(feedback("f", request_id="r0", subject="s00", start_us=1, end_us=2))[:-1],
    "backwards": encoded(feedback("f", subject="s00", start_us=2, end_us=1))[:-1],
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_line_is_set_aside_and_the_others_are_collected(log: Log, lake: Lake, line: bytes) -> None:
    path = log.folder / "20240101T120000-77-0.jsonl"
    path.write_bytes(
        encoded(prediction(0)) + line + b"\n" + encoded(prediction(1), shadow(1), feedback("g", request_id="r0"))
    )
    report = log.collect(lake)
    assert (report.requests, report.labels, report.files) == (2, 1, 1)
    [bad] = report.bad
    assert (bad.file, bad.line) == (path.name, 2)
    assert bad.reason
    assert bad.now_at.read_bytes() == line + b"\n"
    assert lake.requests.read().sort("request_id")["shadow_version"].to_list() == [None, 9]


def test_a_fixed_line_is_collected(log: Log, lake: Lake) -> None:
    log.write(prediction(0, ms=-1.0), prediction(1))
    [bad] = log.collect(lake).bad
    assert "ms" in bad.reason
    assert log_chunks(log.settings) == []
    bad.now_at.write_bytes(bad.now_at.read_bytes().replace(b"-1.0", b"1.0"))
    bad.now_at.rename(bad.now_at.with_suffix(""))
    assert log.collect(lake).requests == 1
    assert lake.requests.read()["request_id"].sort().to_list() == ["r0", "r1"]


def test_a_shadow_that_comes_later(log: Log, lake: Lake) -> None:
    log.write(prediction(0, windows=3), prediction(1), prediction(2))
    log.collect(lake)
    log.write(shadow(0, windows=3), shadow(2, received_us=NOON_US + 600 * SECOND), shadow(8))
    report = log.collect(lake)
    assert (report.shadows, report.unmatched) == (4, 1)
    assert lake.requests.read().sort("request_id", "start")["shadow_activity"].to_list() == [
        "IR",
        "ER",
        "FEL",
        None,
        "IR",
    ]
    assert lake.requests.read().drop_nulls("features").height == 5


def test_a_request_id_that_a_client_uses_twice(log: Log, lake: Lake) -> None:
    again = {"request_id": "mine", "subject": "s00"}
    log.write(
        *(prediction(number, **again) for number in (0, 1, 2)),
        shadow(1, request_id="mine"),
        feedback("f", request_id="mine"),
    )
    assert log.collect(lake).requests == 3
    _, requests, labels = tables(lake)
    assert requests["shadow_version"].to_list() == [None, 9, None]
    assert labels["start"].to_list() == [NOON + dt.timedelta(minutes=2)]


def test_feedback_about_an_interval_and_about_a_request(log: Log, lake: Lake) -> None:
    log.write(
        prediction(1, windows=3, subject="s05", start_us=NOON_US),
        feedback("f1", "ROW", subject="s05", start_us=NOON_US, end_us=NOON_US + 7 * SECOND),
        feedback("f2", "PEN", subject="s05", start_us=NOON_US, end_us=NOON_US + 7 * SECOND, received_us=NOON_US + 1),
        prediction(0, windows=2, subject=None),
        feedback("f3", "ABD", request_id="r0", source="10.0.0.9, with token"),
    )
    assert log.collect(lake).labels == 3
    labels = tables(lake)[2]
    seven, six = (NOON + dt.timedelta(seconds=seconds) for seconds in (7, 6))
    assert labels.select("date", "subject", "start", "end", "activity", "request_id", "feedback_id").rows() == [
        (NOON.date(), "s05", NOON, seven, "ROW", None, "f1"),
        (NOON.date(), "s05", NOON, seven, "PEN", None, "f2"),
        (NOON.date(), "unknown", NOON, six, "ABD", "r0", "f3"),
    ]
    # The later one holds; both are there to tell.
    assert labels.sort("received_at")["feedback_id"].to_list()[:2] == ["f2", "f1"]
    assert labels["source"].to_list() == ["127.0.0.1", "127.0.0.1", "10.0.0.9, with token"]
    assert labels["review"].to_list() == [None] * 3


def test_an_interval_is_bounded_to_what_was_answered(log: Log, lake: Lake) -> None:
    # From noon on there are three windows of 4 s, 2 s apart; the claim is about a whole day.
    log.write(
        prediction(0, windows=3),
        feedback("f", subject="s00", start_us=NOON_US - 40_000 * SECOND, end_us=NOON_US + 40_000 * SECOND),
        feedback("nothing", subject="s00", start_us=NOON_US + 8 * SECOND, end_us=NOON_US + 900 * SECOND),
        feedback("nobody", subject="s77", start_us=NOON_US, end_us=NOON_US + 8 * SECOND),
    )
    report = log.collect(lake)
    assert (report.labels, report.waiting) == (3, 2)
    rows = {row["feedback_id"]: row for row in tables(lake)[2].iter_rows(named=True)}
    assert (rows["f"]["start"], rows["f"]["end"]) == (NOON, NOON + dt.timedelta(seconds=8))
    assert rows["f"]["claimed_start"] == NOON - dt.timedelta(seconds=40_000)
    assert {name: row["start"] for name, row in rows.items() if name != "f"} == {"nothing": None, "nobody": None}


def test_a_claim_waits_for_predictions_however_they_come(log: Log, lake: Lake) -> None:
    now = round(dt.datetime.now(dt.UTC).timestamp()) * SECOND
    claim = {"subject": "s00", "start_us": NOON_US, "end_us": NOON_US + 6 * SECOND}
    log.write(feedback("f", **claim, received_us=now), feedback("old", **claim))
    assert log.collect(lake).waiting == 2
    log.write(prediction(0, windows=2))
    assert log.collect(lake).waiting == 1
    rows = {row["feedback_id"]: row["start"] for row in tables(lake)[2].iter_rows(named=True)}
    assert rows == {"f": NOON, "old": None}


def test_labels_of_an_earlier_release_get_the_new_columns(log: Log, lake: Lake) -> None:
    """Its table has eight columns; what it holds stays, and is read as feedback that nobody has reviewed."""
    old = pl.Schema(list(lake.labels.schema.items())[:8])
    row = {"date": NOON.date(), "subject": "s00", "start": NOON, "end": NOON, "feedback_id": "x", "received_at": NOON}
    Table(lake.folder / "labels", old).add(pl.DataFrame([row], old), ["feedback_id"])
    log.write(prediction(0), feedback("f", request_id="r0"))
    assert log.collect(lake).labels == 1
    assert tables(lake)[2].select("feedback_id", "source").rows() == [("f", "127.0.0.1"), ("x", None)]


def test_feedback_waits_for_its_request(log: Log, lake: Lake) -> None:
    log.write(feedback("f", request_id="r1"), feedback("lost", request_id="nobody"))
    report = log.collect(lake)
    assert (report.labels, report.waiting) == (2, 2)
    assert tables(lake)[2].select("subject", "start", "end", "request_id").row(0) == ("unknown", None, None, "r1")
    log.write(prediction(1), prediction(2))
    report = log.collect(lake)
    assert (report.labels, report.waiting) == (0, 1)
    labels = tables(lake)[2]
    assert labels.select("feedback_id", "subject", "start").rows() == [
        ("f", "s01", NOON + dt.timedelta(minutes=1)),
        ("lost", "unknown", None),
    ]
    assert labels["activity"].to_list() == ["TRAP", "TRAP"]


def test_feedback_about_a_request_of_long_ago(log: Log, lake: Lake) -> None:
    log.write(prediction(0))
    log.collect(lake)
    log.write(feedback("f", request_id="r0", received_us=NOON_US + 90 * 86400 * SECOND))
    assert log.collect(lake).waiting == 0
    assert tables(lake)[2]["start"].to_list() == [NOON]


def test_a_large_log_is_committed_in_parts(log: Log, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "_BLOCK_BYTES", 2_000)
    monkeypatch.setattr(collection, "_COMMIT_BYTES", 10_000)
    busy_day(log, files=2, each=60)
    report = log.collect(lake)
    assert (report.files, report.requests) == (2, 240)
    assert lake.requests.version() > 5
    assert report.unmatched == 0
    assert lake.requests.read()["shadow_version"].drop_nulls().len() > 20


def test_files_come_in_the_order_they_were_written(log: Log) -> None:
    names = [
        "20240101T120000-77-0a1b2c3d-9.jsonl",
        "20240101T120000-77-0a1b2c3d-10.jsonl",
        "20240102T000000-5-99999999-0.jsonl",
        "fixed.jsonl",
    ]
    for name in reversed(names):
        (log.folder / name).write_bytes(b"")
    (log.folder / ".20240103T000000-5-0.jsonl").write_bytes(b"")
    (log.folder / "20240101T120000-77-8.jsonl.bad").write_bytes(b"x\n")
    assert [path.name for path in journal_files(log.folder)] == names
    assert [[path.name for path in chunk] for chunk in log_chunks(log.settings)] == [names]


def test_without_a_log_there_is_nothing_to_do(settings: Settings, lake: Lake) -> None:
    assert log_chunks(settings) == []
    assert collect_files(lake, [settings.path("journal") / "gone.jsonl"]) == CollectReport()
    assert lake.requests.version() == -1


def test_a_log_that_cannot_be_read_is_named(log: Log, lake: Lake) -> None:
    # A folder in the place of a file stands for a disk that refuses: root ignores permission bits.
    (log.folder / "20240101T120000-77-0.jsonl").mkdir()
    with pytest.raises(LakeError, match=r"77-0\.jsonl.*har collect"):
        collect_files(lake, journal_files(log.folder))
