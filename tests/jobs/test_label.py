"""Labels from a CSV: read in one meaning only, held against the recordings, imported all or none, and taken back."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake
from loop_support import fill

from har.dataset import window_labels
from har.errors import LabelError
from har.jobs.label import (
    add_labels,
    batches,
    import_labels,
    read_labels,
    requested_labels,
    undo_batch,
    why_none_are_requested,
    without_subject,
)
from har.lake import Lake
from har.project import Project
from har.settings import Settings

HEADER = "subject,start,end,activity\n"
GOOD = "s01,2024-01-18T08:00:00Z,2024-01-18T08:00:30Z,PEN\n"
DAY = dt.date(2024, 1, 18)
NINE = dt.datetime(2024, 1, 18, 9, tzinfo=dt.UTC)
"""From nine on, and from ten on, there is a minute of each subject's recordings."""


def table(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def row(subject: str = "s01", start: str = "09:00:00Z", end: str = "09:00:20Z", activity: str = "ROW") -> str:
    return f"{subject},2024-01-18T{start},2024-01-18T{end},{activity}\n"


@pytest.fixture
def recorded(lake: Lake, settings: Settings) -> Project:
    """A day of s01 and s02 without labels."""
    fill(lake, settings, [DAY], ["s01", "s02"], labelled=False)
    return Project(settings)


def refused(call: object, *said: str) -> None:
    with pytest.raises(LabelError) as caught:
        call()
    for words in said:
        assert words in str(caught.value)


def test_labels_are_imported_once(tmp_path: Path, recorded: Project) -> None:
    path = table(tmp_path, HEADER + row() + row("s02", "11:00:00+02:00", "11:00:30+02:00", " ROW "))
    labels = read_labels(path, recorded.settings)
    assert labels["activity"].to_list() == ["ROW", "ROW"]
    assert labels["start"].to_list() == [NINE, NINE]
    first = import_labels(recorded, path)
    assert (first.rows, first.new) == (2, 2)
    again = import_labels(recorded, path)
    assert (again.rows, again.new, again.batch) == (2, 0, "")
    rows = recorded.lake.labels.read()
    assert set(rows["subject"]) == {"s01", "s02"}
    assert rows["date"].unique().to_list() == [DAY]
    assert set(rows["batch"]) == {first.batch}
    assert rows["source"][0].endswith(": labels.csv")


def test_a_row_without_an_activity_is_skipped(tmp_path: Path, settings: Settings) -> None:
    path = table(tmp_path, HEADER + GOOD + "s02,2024-01-18T08:00:00Z,2024-01-18T08:00:30Z,\n,,,\n\n")
    assert read_labels(path, settings)["line"].to_list() == [2]


def zoned(settings: Settings, name: str) -> Settings:
    return settings.model_copy(update={"project": settings.project.model_copy(update={"timezone": name})})


def test_times_without_an_offset_are_in_the_projects_time_zone(tmp_path: Path, settings: Settings) -> None:
    path = table(tmp_path, HEADER + "s01,2024-07-18T08:00:00,2024-07-18T08:00:30Z,PEN\n")
    assert read_labels(path, zoned(settings, "Europe/Vienna"))["start"].to_list() == [
        dt.datetime(2024, 7, 18, 6, tzinfo=dt.UTC)
    ]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-05-06 10:02:00", "10:02:00"),
        ("2024-05-06T10:02Z", "10:02:00"),
        ("2024-05-06t10:02:00.25z", "10:02:00.250000"),
        ("2024-05-06T10:02:00,123456789+02:00", "08:02:00.123456"),
        ("2024-05-06 10:02:00 +0200", "08:02:00"),
        ("2024-05-06T10:02:00-01", "11:02:00"),
        ("20240506T100200Z", "10:02:00"),
        ("  2024-05-06T10:02:00Z ", "10:02:00"),
    ],
)
def test_every_iso_time_is_read_on_its_own(tmp_path: Path, settings: Settings, text: str, utc: str) -> None:
    mixed = f'"s01","{text}",2024-05-06T23:00:00,PEN\n'
    found = read_labels(table(tmp_path, HEADER + GOOD + mixed), settings)
    assert found["start"][1] == dt.datetime.fromisoformat(f"2024-05-06T{utc}+00:00")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("05/06/2024 08:00:00", "year-month-day"),
        ("13.05.2024 08:00", "year-month-day"),
        ("5/6/24 8:00 AM", "00 to 23"),
        ("2024-05-06 08:00:00 PM", "00 to 23"),
        ("1714982400000", "count of seconds"),
        ("1714982400.5", "count of seconds"),
        ("2024-05-06", "time of the day"),
        ("2024-13-06T08:00:00", "year-month-day"),
        ("2024-02-30T08:00:00Z", "year-month-day"),
        ("2024-05-06T24:00:00Z", "year-month-day"),
        ("2024-05-06T08:00:00+25:00", "year-month-day"),
        ("0001-01-01T00:00:00+05:00", "year-month-day"),
        ("yesterday", "year-month-day"),
        ("", "Write when"),
    ],
)
def test_other_times_are_refused_with_their_text(tmp_path: Path, settings: Settings, text: str, advice: str) -> None:
    path = table(tmp_path, f"{HEADER}{GOOD}s01,{text},2024-05-07T08:00:00Z,PEN\n")
    refused(lambda: read_labels(path, settings), "line 3, start: expected an ISO 8601", text or "none", advice)


@pytest.mark.parametrize(
    ("time", "how_often"), [("2024-03-31T02:30:00", "not at all"), ("2024-10-27T02:30:00", "twice")]
)
def test_a_time_that_the_clocks_skip_or_repeat(tmp_path: Path, settings: Settings, time: str, how_often: str) -> None:
    path = table(tmp_path, f"{HEADER}s01,{time},2024-12-01T08:00:00Z,PEN\n")
    refused(lambda: read_labels(path, zoned(settings, "Europe/Vienna")), time, how_often, "offset")
    assert len(read_labels(table(tmp_path, f"{HEADER}s01,{time}+02:00,2024-12-01T08:00:00Z,PEN\n"), settings)) == 1


@pytest.mark.parametrize(
    "content",
    [
        (HEADER + GOOD).replace(",", ";").encode(),
        (HEADER + GOOD).replace(",", "\t").encode(),
        b"sep=;\r\n" + (HEADER + GOOD).replace(",", ";").encode(),
        (HEADER + GOOD).replace("\n", "\r").encode(),
        (HEADER + GOOD).replace("\n", "\r\n").encode(),
        (HEADER + GOOD).encode("utf-8-sig"),
        (HEADER + GOOD).encode("utf-16"),
        (b'note,activity,end,start,subject\n"a, ""b""",PEN,2024-01-18T08:00:30Z,2024-01-18T08:00:00Z,s01\n'),
    ],
    ids=["semicolons", "tabs", "sep", "CR", "CRLF", "BOM", "UTF-16", "order"],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, settings: Settings, content: bytes) -> None:
    (label,) = read_labels(table(tmp_path, content), settings).drop("line").rows()
    eight = dt.datetime(2024, 1, 18, 8, tzinfo=dt.UTC)
    assert label == ("s01", eight, eight + dt.timedelta(seconds=30), "PEN")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("subject,start,activity\ns01,2024-01-18T08:00:00Z,PEN\n", ("no end", "subject,start,activity")),
        ("subject|start|end|activity\n", ("line 1", "subject|start|end|activity")),
        (HEADER + row("s01", "09:00:30Z", "09:00:00Z"), ("line 2, end", "09:00:30Z", "09:00:00Z")),
        (HEADER + row(end="09:00:00Z"), ("line 2, end", "after the start")),
        (HEADER + GOOD + GOOD + row(activity="PENN"), ("line 4, activity", "'PENN'", "Did you mean 'PEN'?")),
        (HEADER + row("  "), ("line 2, subject", "expected a subject, but got none")),
        (HEADER + GOOD + "s01,2024-01-18T08:00:00Z\n", ("line 3", "4 fields", "s01,2024-01-18T08:00:00Z")),
        (HEADER + GOOD.strip() + ",more\n", ("line 2", "4 fields", "but got 5")),
        (HEADER + 's01,"2024', ("line 2", "row of a CSV")),
        ("subject,start,end,activity,activity\n", ("one column 'activity'",)),
        (HEADER + row(activity="X") + row() + row(activity="Y"), ("line 2", "1 more lines are refused: 4")),
        ("", ("CSV with a header", "an empty file")),
        (b"subject,start,end,activity\ns\xe4,1,2,PEN\n", ("line 2", "UTF-8", "0xe4")),
        ((HEADER + GOOD).encode("utf-16-le"), ("zero bytes",)),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(
    tmp_path: Path, recorded: Project, text: str | bytes, said: tuple[str, ...]
) -> None:
    refused(lambda: import_labels(recorded, table(tmp_path, text)), *said)
    assert recorded.lake.labels.version() == -1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (row("S1"), ("line 3, subject", "s01, s02", "'S1'", "Did you mean 's01'?")),
        (row("anna"), ("'anna'", "har ingest")),
        (row("s02", "07:00:00Z", "08:59:59Z"), ("line 3, start", "2024-01-18 09:00:00 to 2024-01-18 10:00:59 UTC")),
        (row("s02", "09:30:00Z", "09:40:00Z"), ("line 3", "offset")),
        (
            "s02,2024-06-05T09:00:00Z,2024-06-05T09:01:00Z,PEN\n",
            ("line 3, start", "2024-06-05 09:00:00 to 2024-06-05 09:01:00 UTC"),
        ),
    ],
)
def test_labels_of_nobody_or_of_no_recording_are_refused(
    tmp_path: Path, recorded: Project, line: str, said: tuple[str, ...]
) -> None:
    refused(lambda: import_labels(recorded, table(tmp_path, HEADER + row() + line)), *said)
    assert recorded.lake.labels.version() == -1


def test_a_diary_may_tell_of_more_than_was_recorded(tmp_path: Path, recorded: Project) -> None:
    done = import_labels(recorded, table(tmp_path, HEADER + row() + row(start="09:30:00Z", end="09:40:00Z")))
    assert (done.new, done.outside, int(done.recordings["windows"].sum())) == (2, (3,), 9)


def test_an_empty_lake_takes_no_labels(tmp_path: Path, settings: Settings) -> None:
    refused(lambda: import_labels(Project(settings), table(tmp_path, HEADER + GOOD)), "empty lake", "har ingest")


def test_a_dry_run_says_what_would_match(tmp_path: Path, recorded: Project) -> None:
    path = table(
        tmp_path, HEADER + row(" s01 ") + row("s02", "09:00:00Z", "10:00:30Z", "PEN") + row("s02", "09:00:10Z")
    )
    dry = import_labels(recorded, path, dry_run=True)
    assert (dry.batch, dry.rows, dry.new, dry.overlapping) == ("", 3, 3, 1)
    matches = {tuple(one[:3]): one[3:] for one in dry.recordings.rows()}
    # 20 s hold nine windows of 4 s, 2 s apart, and one more is pure enough; s02 has a minute and half a minute.
    assert matches == {(DAY, "s01", "0"): (9, 0), (DAY, "s02", "0"): (27, 0), (DAY, "s02", "1"): (14, 0)}
    assert recorded.lake.labels.version() == -1
    done = import_labels(recorded, path)
    assert done.recordings.equals(dry.recordings)
    labelled = window_labels(recorded.lake, recorded.settings)
    assert len(labelled) == sum(windows for windows, _ in matches.values())


def test_labels_that_replace_others_are_counted(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    fill(lake, settings, [DAY], ["s01"])
    project = Project(settings)
    path = table(tmp_path, HEADER + row(end="09:01:00Z", activity="PEN") + row(start="10:00:00Z", end="10:00:20Z"))
    done = import_labels(project, path)
    assert {one["session"]: one["replaced"] for one in done.recordings.iter_rows(named=True)} == {"0": 0, "1": 9}
    assert window_labels(lake, settings)["activity"].value_counts().sort("activity").rows()[-1] == ("ROW", 9)


def test_windows_of_the_online_service_can_be_labelled(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    answered = {
        "date": DAY,
        "subject": "app",
        "session": "online",
        "start": NINE,
        "end": NINE + dt.timedelta(seconds=4),
        "activity": "PEN",
        "request_id": "r1",
    }
    lake.predictions.add(pl.DataFrame([answered], lake.predictions.schema), ["request_id", "start"])
    done = import_labels(Project(settings), table(tmp_path, HEADER + row("app")))
    assert done.recordings.rows() == [(DAY, "app", "online", 1, 0)]


def test_a_later_line_counts_where_two_overlap(tmp_path: Path, recorded: Project) -> None:
    lines = row(end="09:00:40Z", activity="PEN") + row(end="09:00:40Z", activity="ABD")
    for text in (lines, "".join(reversed(lines.splitlines(keepends=True)))):
        done = import_labels(recorded, table(tmp_path, HEADER + text))
        last = text.strip().rpartition(",")[2]
        assert set(window_labels(recorded.lake, recorded.settings)["activity"]) == {last}
        undo_batch(recorded.lake, done.batch)


def test_a_batch_is_taken_back(tmp_path: Path, recorded: Project) -> None:
    lake = recorded.lake
    first = import_labels(recorded, table(tmp_path, HEADER + row() + row("s02")))
    second = import_labels(recorded, table(tmp_path, HEADER + row() + row("s01", "10:00:00Z", "10:00:10Z")))
    assert second.new == 1
    listed = batches(lake)
    assert listed.select("batch", "labels", "subjects").rows() == [
        (first.batch, 2, "s01, s02"),
        (second.batch, 1, "s01"),
    ]
    assert undo_batch(lake, first.batch) == 2
    assert lake.labels.read()["batch"].to_list() == [second.batch]
    refused(lambda: undo_batch(lake, first.batch), "--batches")
    refused(lambda: undo_batch(lake, ""), "--undo")
    assert undo_batch(lake, second.batch[:-2]) == 1
    assert batches(lake).is_empty()


def test_a_lake_that_a_null_subject_spoilt_is_healed(recorded: Project) -> None:
    """Earlier releases wrote such rows; what else they imported stays."""
    lake = recorded.lake
    old = pl.Schema(list(lake.labels.schema.items())[:8])
    values = [
        {"date": DAY, "subject": subject, "start": NINE, "end": NINE + dt.timedelta(seconds=10), "activity": "PEN",
         "feedback_id": f"table-{number}", "received_at": NINE + dt.timedelta(hours=number)}
        for number, subject in enumerate([None, "", "s01", None])
    ]  # fmt: skip
    for value in values:
        write_deltalake(
            str(lake.labels.path), pl.DataFrame([value], old), mode="append", partition_by=["date", "subject"]
        )
    assert len(lake.labels.partitions()) >= 2
    assert window_labels(lake, recorded.settings).height == 4
    spoilt = without_subject(lake)
    assert spoilt == [f"before-20240118T{9 + number:02d}0000.000000" for number in (0, 1, 3)]
    while left := without_subject(lake):
        assert undo_batch(lake, left[0]) == 1
    assert lake.labels.partitions() == [(DAY, "s01")]
    assert lake.labels.read()["feedback_id"].to_list() == ["table-2"]


@pytest.mark.parametrize("subject", [None, ""])
def test_no_table_takes_a_row_without_a_subject(lake: Lake, subject: str | None) -> None:
    from har.errors import LakeError

    row = {"date": DAY, "subject": subject, "feedback_id": "f"}
    frame = pl.DataFrame([row], lake.labels.schema)
    for write in (
        lambda: lake.labels.add(frame, ["feedback_id"]),
        lambda: lake.labels.replace(frame, [(DAY, subject)]),
    ):
        with pytest.raises(LakeError, match="date and a subject"):
            write()


def test_added_labels_need_no_file(lake: Lake) -> None:
    labels = pl.DataFrame(
        {"subject": ["s01"], "start": [NINE], "end": [NINE + dt.timedelta(seconds=9)], "activity": ["PEN"]}
    )
    assert (add_labels(lake, labels), add_labels(lake, labels)) == (1, 0)
    assert lake.labels.read()["review"].to_list() == ["imported"]


def test_requested_labels_are_sorted_and_can_be_filled_in(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    assert requested_labels(lake).is_empty()
    assert why_none_are_requested(lake).endswith("har score.")
    start = dt.datetime(2024, 1, 18, 8, tzinfo=dt.UTC)
    rows = [
        {
            "date": start.date(),
            "subject": f"s0{rank}",
            "session": "left",
            "start": start,
            "end": start + dt.timedelta(seconds=4),
            "request_id": None,
            "rank": rank,
            "activity": "PEN",
            "confidence": 0.3,
            "reason": "unsure",
            "decision_id": "d",
            "asked_at": start,
        }
        for rank in (2, 1)
    ]
    lake.label_requests.add(pl.DataFrame(rows, lake.label_requests.schema), ["decision_id", "rank"])
    requested = requested_labels(lake)
    assert requested["subject"].to_list() == ["s01", "s02"]
    filled_in = requested.with_columns(pl.lit("ROW").alias("activity"))
    path = tmp_path / "asked.csv"
    filled_in.write_csv(path)
    assert read_labels(path, settings).drop("line", "subject").unique().rows() == [
        (start, start + dt.timedelta(seconds=4), "ROW")
    ]
