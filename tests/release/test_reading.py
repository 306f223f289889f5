"""What both versions said about the same windows, read from the prediction log while it is written and collected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journal_support import NOON_US, SECOND, encoded, feedback, prediction, shadow

from har.jobs.collect import collect_files
from har.lake import Lake
from har.release import PairedReader

ACTIVITIES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
NEW, FORMER = 4, 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    return tmp_path / "journal"


@pytest.fixture
def reader(folder: Path) -> Iterator[PairedReader]:
    reader = PairedReader(folder, ACTIVITIES, new=NEW, former=FORMER, since_us=NOON_US)
    yield reader
    reader.close()


def write(folder: Path, *lines: dict[str, Any], name: str = "a.jsonl") -> Path:
    with (folder / name).open("ab") as file:
        file.write(encoded(*lines))
    return folder / name


def pair(number: int, *, new: str = "PEN", former: str = "PEN", by: int = NEW, **line: Any) -> list[dict[str, Any]]:
    """A request that one version answers and the other looks on."""
    own, other = (new, former) if by == NEW else (former, new)
    return [
        prediction(number, model_version=by, activity=[own], confidence=[0.75], **line),
        shadow(number, model_version=NEW + FORMER - by, activity=[other], confidence=[0.5]),
    ]


def test_pairs_windows_whichever_version_answered(folder: Path, reader: PairedReader) -> None:
    write(folder, *pair(1), *pair(2, new="ROW", former="PEN"), *pair(3, new="ROW", former="IR", by=FORMER))
    reader.update()
    paired = reader.paired()
    assert (paired.requests, paired.windows, paired.agreeing) == (3, 3, 1)
    assert set(paired.subjects) == {"s00", "s01"}
    names = paired.activities
    assert paired.mix.sum(axis=0)[[names.index("PEN"), names.index("ROW")]].tolist() == [1, 2]
    assert paired.former_mix.sum(axis=0)[[names.index("PEN"), names.index("IR")]].tolist() == [2, 1]
    assert paired.sure == pytest.approx(0.75)
    assert paired.former_sure == pytest.approx(0.5)


def test_reads_what_is_new_and_each_line_once(folder: Path, reader: PairedReader) -> None:
    first, *rest = [line for number in range(20) for line in pair(number, subject="s01")]
    content = encoded(first, *rest)
    file = folder / "a.jsonl"
    for cut in (10, 500, len(content) // 2, len(content)):
        file.write_bytes(content[:cut])  # a line may be half written
        reader.update()
    reader.update()
    paired = reader.paired()
    assert (paired.requests, paired.windows) == (20, 20)
    assert paired.blocks[:, 0].tolist() == [16]
    assert reader.faults == 0


def test_a_shadow_may_come_late_and_in_another_file(folder: Path, reader: PairedReader) -> None:
    asked, answered = pair(1)
    write(folder, answered, name="b.jsonl")
    reader.update()
    write(folder, asked)
    reader.update()
    assert reader.paired().requests == 1


def test_only_these_two_versions_since_the_begin_count(folder: Path, reader: PairedReader) -> None:
    early = pair(-1)
    other = [prediction(1, model_version=2), shadow(1, model_version=NEW)]
    alone = [prediction(2, model_version=NEW), shadow(2, model_version=9)]
    fell_back = pair(3, fallback="previous", by=FORMER)
    silent = pair(4, new="no signal", former="no signal")
    write(folder, *early, *other, *alone, *fell_back, *silent)
    reader.update()
    assert reader.paired().windows == 0


def test_labels_from_known_sources_count(folder: Path, reader: PairedReader) -> None:
    trusted = "10.0.0.7, with token"
    for number in range(16):
        write(folder, *pair(number, new="ROW", former="PEN", subject="s01"))
    reader.update()
    by_request = [feedback(f"f{n}", "ROW", request_id=f"r{n}", source=trusted) for n in range(8)]
    nobody = [feedback(f"g{n}", "PEN", request_id=f"r{n}", source="127.0.0.1") for n in range(16)]
    start = NOON_US + 8 * 60 * SECOND
    interval = feedback("h", "PEN", subject="s01", start_us=start, end_us=start + 480 * SECOND, source=trusted)
    again = feedback("i", "PEN", request_id="r0", source=trusted)
    write(folder, *nobody, *by_request, interval, again)
    reader.update()
    sums = reader.paired().labelled_blocks
    assert sums[:, 3].tolist() == [8, 8]
    assert sums[:, 4].tolist() == [8, 0]  # only the new version was right …
    assert sums[:, 5].tolist() == [0, 8]  # … and only the former one


def test_a_label_may_come_before_its_window(folder: Path, reader: PairedReader) -> None:
    for number in range(8):
        write(folder, feedback(f"f{number}", "PEN", request_id=f"r{number}", source="x, token ward-3"))
    reader.update()
    write(folder, *[line for number in range(8) for line in pair(number, subject="s01")])
    reader.update()
    assert reader.paired().labelled_blocks[:, 3].tolist() == [8]


def test_collecting_takes_nothing_away(folder: Path, lake: Lake) -> None:
    """Neither from a reader that runs, nor from one that begins later, as after a crash."""
    running = PairedReader(folder, ACTIVITIES, NEW, FORMER, NOON_US, lake)
    done = write(folder, *pair(1), *pair(2, new="ROW"), feedback("f1", "PEN", request_id="r1", source="x, with token"))
    running.update()
    write(folder, *pair(3))
    collect_files(lake, [done])
    assert not done.exists()
    running.update()
    open_file = write(folder, *pair(4), name="b.jsonl")
    with open_file.open("rb") as holder:
        import fcntl

        fcntl.flock(holder, fcntl.LOCK_EX)  # the service still writes: its lines are collected, and the file stays
        collect_files(lake, [open_file])
    write(folder, *pair(5), name="b.jsonl")
    running.update()
    later = PairedReader(folder, ACTIVITIES, NEW, FORMER, NOON_US, lake)
    later.update()
    for reader in (running, later):
        paired = reader.paired()
        assert (paired.requests, paired.windows, paired.agreeing) == (5, 5, 4)
        assert sum(reader._kept["labelled"]) == 1
        reader.close()
    np.testing.assert_array_equal(later.paired().mix.sum(axis=0), running.paired().mix.sum(axis=0))


def test_subjects_of_a_step(folder: Path, reader: PairedReader) -> None:
    write(folder, *pair(1, subject="s01"), *pair(30, subject="s02"), *pair(31, subject="s02"))
    reader.update()
    assert reader.paired().seen == 2
    assert reader.paired(step_us=NOON_US + 20 * 60 * SECOND).seen == 1


def test_bad_lines_are_counted(folder: Path, reader: PairedReader) -> None:
    write(folder, *pair(1))
    with (folder / "a.jsonl").open("ab") as file:
        file.write(b"{oops\n")
    write(folder, *pair(2))
    reader.update()
    assert (reader.faults, reader.paired().requests) == (1, 2)


def test_no_log_yet(tmp_path: Path) -> None:
    reader = PairedReader(tmp_path / "none", ACTIVITIES, NEW, FORMER, NOON_US)
    reader.update()
    assert reader.paired().windows == 0


def test_files_in_which_nothing_comes_are_closed_and_opened_again(folder: Path, reader: PairedReader) -> None:
    for number in range(3):
        write(folder, *pair(number), name=f"{number}.jsonl")
    for _ in range(70):
        reader.update()
    assert all(file.descriptor is None for file in reader._files.values())
    write(folder, *pair(7), name="1.jsonl")
    reader.update()
    reader.update()
    assert (reader.paired().requests, reader.faults) == (4, 0)
