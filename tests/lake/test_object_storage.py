"""Tables in a folder and on S3: the same operations give the same rows; of writers at once, none loses anything."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import polars as pl
import pytest
from s3_support import bucket, faulty_proxy, free_port, needs_moto

from har.errors import LakeConflictError, LakeDamageError, LakeError, StoreError
from har.lake import Lake, Table, losses
from har.storage import Location, Service

SCHEMA = pl.Schema({"date": pl.Date, "subject": pl.String, "value": pl.Int64, "note": pl.String})
DAY, NEXT = dt.date(2024, 1, 1), dt.date(2024, 1, 2)
PLACES = ["folder", pytest.param("s3", marks=needs_moto)]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    return Location(str(tmp_path / "t")) if request.param == "folder" else bucket(monkeypatch) / "t"


@pytest.fixture
def on_s3(monkeypatch: pytest.MonkeyPatch) -> Location:
    return bucket(monkeypatch) / "t"


def rows(date: dt.date, subject: str, *values: int, note: str | None = None) -> pl.DataFrame:
    return pl.DataFrame({"date": date, "subject": subject, "value": list(values), "note": note}, schema=SCHEMA)


def values(place: Location) -> list[int]:
    return sorted(Table(place, SCHEMA).read()["value"])


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_every_operation(place: Location) -> None:
    subject = "Ä b/%20=c"
    table = Table(place, SCHEMA)
    table.small_files = 4
    key = (DAY, subject)
    assert (table.version(), table.read().is_empty(), table.partitions()) == (-1, True, [])
    assert table.amend(rows(DAY, subject, 1, note="x"), ["value"]) == 0
    first = table.replace(rows(DAY, subject, 1, 2), [key])
    assert table.add(rows(DAY, subject, 2, 3, 3), ["value"]) == 1
    assert table.add(rows(DAY, subject, 1, 3), ["value"]) == 0
    assert table.add(rows(NEXT, "b", 9), ["value"]) == 1
    assert table.amend(rows(DAY, subject, 2, 7, note="amended"), ["value"]) == 1
    assert Table(place, SCHEMA).read(partitions=[key]).sort("value")["note"].to_list() == [None, "amended", None]
    kept = table.replace(rows(DAY, subject, 4), [key], keep="note")
    assert values(place) == [2, 4, 9]
    files, former = table.file_names(), table.file_names(kept - 1)
    changed = [one.join(other, on="path", how="anti") for one, other in ((files, former), (former, files))]
    assert {row[:2] for rows in changed for row in rows.iter_rows()} == {key}
    assert table.counts() == {key: 2, (NEXT, "b"): 1}
    [(_, frame), (_, other)] = table.each(None, [(NEXT, "b"), key], ["value"], verify=True)
    assert (frame["value"].to_list(), sorted(other["value"])) == ([9], [2, 4])
    assert sorted(table.read(version=first)["value"]) == [1, 2]
    with pytest.raises(LakeError, match="expected version 99 of the table"):
        table.read(version=99)
    table.replace(rows(DAY, subject, 10), [key], keep=pl.col("value") > 9)
    for number in range(11, 15):
        table.add(rows(DAY, subject, number), ["value"])
    before = Table(place, SCHEMA).read().sort("value")
    assert table.compact([key, (NEXT, "b")]) == 1
    assert Table(place, SCHEMA).read().sort("value").equals(before)
    orphan = place / "date=2024-01-01/subject=a/part-of-a-writer-that-was-killed.parquet"
    orphan.write_bytes(b"x")
    if place.is_local:
        os.utime(orphan.local, (0, 0))
    removed = table.tend(lambda opened: len(opened.vacuum(dry_run=False, full=True)))
    assert removed == int(place.is_local)  # a server in memory has no old objects
    assert orphan.exists() != place.is_local
    assert table.damaged() == {} == table.damaged(content=True)
    assert table.replace(before.clear(), [key]) == table.version()
    assert values(place) == [9]


@needs_moto
def test_damage_is_told_from_a_store_that_fails(on_s3: Location) -> None:
    lake = Lake(on_s3, ("x",))
    table = lake.labels
    row = dict.fromkeys(table.schema) | {"date": DAY, "subject": "a", "activity": "PEN", "feedback_id": "f"}
    table.add(pl.DataFrame([row], table.schema), ["feedback_id"])
    assert losses(lake) == []
    with faulty_proxy(on_s3.service.url) as faults:
        there = Location(str(table.where), Service(endpoint=faults.url, retries=1))
        tried = Table(there, table.schema)
        assert len(tried.read()) == 1
        faults.share_503 = 1.0
        for look in (tried.read, tried.version, tried.damaged):
            with pytest.raises(StoreError, match=r"expected a store that answers, but got 503.*storage\.retries"):
                look()
        with pytest.raises(StoreError, match="503"):
            tried.add(pl.DataFrame([row | {"feedback_id": "g"}], table.schema), ["feedback_id"])
    [file] = [entry.name for entry in table.where.list() if entry.name.endswith(".parquet")]
    content = (table.where / file).read_bytes()
    (table.where / file).write_bytes(content[:-9])
    assert f"{len(content) - 9} bytes instead of {len(content)}" in str(losses(lake)[0])
    (table.where / file).delete()
    with pytest.raises(LakeDamageError, match=r"labels, 2024-01-01, subject a: .*no such file"):
        table.read()
    assert "no such file" in str(losses(lake)[0])


@needs_moto
def test_a_step_runs_again_if_another_writer_came_between(on_s3: Location) -> None:
    table, other = Table(on_s3, SCHEMA), Table(on_s3, SCHEMA)
    table.replace(rows(DAY, "a", 1), [(DAY, "a")])
    disturb: Iterator[pl.DataFrame] = iter([rows(DAY, "a", 10), rows(DAY, "a", 20)])
    runs = 0

    def elsewhere(write: Callable[[], object]) -> None:
        thread = Thread(target=write)
        thread.start()
        thread.join()

    def double() -> None:
        nonlocal runs
        runs += 1
        seen = table.read(partitions=[(DAY, "a")])
        frame = next(disturb, None)
        if frame is not None:
            elsewhere(lambda: other.add(frame, ["value"]))
        elsewhere(lambda: other.replace(rows(NEXT, "b", runs), [(NEXT, "b")]))
        table.replace(seen.with_columns(pl.col("value") * 2), [(DAY, "a")])

    table.step(double)
    assert (runs, values(on_s3)) == (3, [2, 3, 20, 40])

    def look() -> None:
        table.read()
        elsewhere(lambda: other.replace(rows(NEXT, "b", 5), [(NEXT, "b")]))
        table.replace(rows(DAY, "a", 0), [(DAY, "a")])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("har.lake._optimistic._pause", lambda attempt: None)
        with pytest.raises(LakeConflictError, match="Nothing was written"):
            table.step(look, whole=True)
    assert values(on_s3) == [2, 5, 20, 40]


@needs_moto
def test_an_answer_that_is_lost_does_not_write_twice(on_s3: Location) -> None:
    with faulty_proxy(on_s3.service.url) as faults:
        table = Table(Location(str(on_s3), Service(endpoint=faults.url)), SCHEMA)
        table.replace(rows(DAY, "a", 0), [(DAY, "a")])
        faults.share_lost, faults.only = 0.5, frozenset({"PUT"})
        for number in range(1, 5):
            assert table.add(rows(DAY, "a", number), ["value"]) == 1
        assert table.amend(rows(DAY, "a", 3, note="x"), ["value"]) == 1
        assert faults.failed > 1
    assert values(on_s3) == list(range(5))


@needs_moto
def test_two_first_writers_at_once(on_s3: Location) -> None:
    table, other = Table(on_s3, SCHEMA), Table(on_s3, SCHEMA)
    create = table._create

    def late() -> object:
        if other.version() < 0:
            other.replace(rows(NEXT, "b", 2), [(NEXT, "b")])
        return create()

    table._create = late  # type: ignore[method-assign,assignment]
    table.replace(rows(DAY, "a", 1), [(DAY, "a")])
    assert values(on_s3) == [1, 2]


_ROWS = 6

WRITER = """
import datetime as dt, sys
import polars as pl
from har.lake import Table
from har.storage import Location, Service
schema = pl.Schema({"date": pl.Date, "subject": pl.String, "value": pl.Int64, "note": pl.String})
address, endpoint, who, count, how = sys.argv[1:]
table = Table(Location(address, Service(endpoint=endpoint)), schema)
day, who = dt.date(2024, 1, 1), int(who)
for number in range(int(count)):
    subject = "both" if how != "apart" else f"s{who}"
    value = 1000 * who + number
    frame = pl.DataFrame({"date": [day], "subject": [subject], "value": [value], "note": ["n"]}, schema)
    if how == "keep":
        table.replace(frame, [(day, subject)], keep="note")
    elif how == "step":
        table.step(lambda: table.replace(pl.concat([table.read(partitions=[(day, subject)]), frame]), [(day, subject)]))
    else:
        shared = pl.DataFrame({"date": [day], "subject": [subject], "value": [number], "note": ["n"]}, schema)
        table.add(pl.concat([frame, shared]) if how == "same" else frame, ["value"])
    print(number, flush=True)
"""


def writer(place: Location, who: int, count: int, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(place), place.service.url, str(who), str(count), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


@needs_moto
@pytest.mark.parametrize(
    "how",
    ["same", "step", pytest.param("apart", marks=pytest.mark.release), pytest.param("keep", marks=pytest.mark.release)],
)
def test_two_writers_at_once(on_s3: Location, how: str) -> None:
    processes = [writer(on_s3, who, _ROWS, how) for who in (1, 2)]
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said  # also no abort when the interpreter ends
    mine = [1000 * who + number for who in (1, 2) for number in range(_ROWS)]
    assert values(on_s3) == sorted(mine + (list(range(_ROWS)) if how == "same" else []))


@needs_moto
def test_a_writer_that_is_killed(on_s3: Location) -> None:
    with faulty_proxy(on_s3.service.url, delay_s=0.02) as faults:
        slow = Location(str(on_s3), Service(endpoint=faults.url))
        for kill in range(2):
            process = writer(slow, 1, 100, "keep")
            assert process.stdout is not None
            for _ in range(2):
                process.stdout.readline()
            time.sleep(0.06 * kill)
            process.send_signal(signal.SIGKILL)
            process.communicate()
    found = values(on_s3)
    assert sorted(set(found)) == sorted({1000 + number for number in range(len(set(found)))})
    assert len(set(found)) >= 2
    table = Table(on_s3, SCHEMA)
    table.replace(rows(DAY, "both", 1), [(DAY, "both")])
    assert values(on_s3) == [1]
    assert table.damaged() == {}


@needs_moto
def test_what_cannot_be_opened_says_why_at_once(on_s3: Location) -> None:
    begun = time.monotonic()
    absent = Table(Location("s3://no-such-bucket/t", on_s3.service), SCHEMA)
    with pytest.raises(StoreError, match="expected a bucket that exists"):
        absent.read()
    nobody = Table(Location(str(on_s3), Service(endpoint=f"http://127.0.0.1:{free_port()}")), SCHEMA)
    with pytest.raises(StoreError, match="expected a store that can be reached"):
        nobody.replace(rows(DAY, "a", 1), [(DAY, "a")])
    with faulty_proxy(on_s3.service.url, status=(403, "SignatureDoesNotMatch")) as faults:
        stranger = Table(Location(str(on_s3), Service(endpoint=faults.url)), SCHEMA)
        with pytest.raises(StoreError, match="credentials that the store accepts"):
            stranger.version()
    with faulty_proxy(on_s3.service.url, without_conditions=True) as faults:
        forgetful = Table(Location(str(on_s3), Service(endpoint=faults.url)), SCHEMA)
        with pytest.raises(LakeError, match="enforces If-None-Match"):
            forgetful.replace(rows(DAY, "a", 1), [(DAY, "a")])
    assert list(on_s3.list()) == []
    assert time.monotonic() - begun < 20


@needs_moto
def test_threads_of_one_process(on_s3: Location) -> None:
    """They find no table, so that each tries to make it."""
    table = Table(on_s3, SCHEMA)
    key = (DAY, "a")

    def work(who: int) -> None:
        for number in range(3):
            frame = rows(DAY, "a", 100 * who + number)
            table.step(lambda frame=frame: table.replace(pl.concat([table.read(partitions=[key]), frame]), [key]))

    threads = [Thread(target=work, args=(who,)) for who in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(on_s3) == sorted(100 * who + number for who in range(3) for number in range(3))
