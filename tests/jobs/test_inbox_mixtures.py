"""Drawn mixtures of entries in the inbox: good files land with their values, the others are named, and nothing outside
is touched.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests_support import HAR_TOML

from har.jobs.ingest import IngestReport, ingest
from har.project import Project
from har.settings import STANDARD_GRAVITY, load_settings

CHANNELS = ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"]
DAY = dt.date(2024, 5, 6)
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


@dataclass
class Box:
    """An inbox, a folder outside of it, and what must become of the entries.

    Attributes:
        rows: the samples that must be in the lake, as written: date, subject, time and channels in g and rad/s.
        bad: the content of each file that must go to quarantine, by path.
        left: entries that must stay and be named.
    """

    root: Path
    zone: ZoneInfo
    rows: list[pl.DataFrame] = field(default_factory=list)
    bad: dict[Path, bytes] = field(default_factory=dict)
    left: list[Path] = field(default_factory=list)

    @property
    def inbox(self) -> Path:
        return self.root / "data" / "inbox"

    @property
    def day(self) -> Path:
        folder = self.inbox / DAY.isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def outside(self) -> Path:
        folder = self.root / "outside"
        folder.mkdir(exist_ok=True)
        return folder

    def signal(self, subject: str, *, seconds: float = 4, hour: float = 9, seed: int = 0) -> pl.DataFrame:
        """A sensor that moves, at 50 Hz from an hour of the day in the project's zone."""
        rng = np.random.default_rng([seed, *subject.encode()])
        count = int(seconds * 50)
        values = (0.3 * rng.normal(size=(count, 6)) + [0, 0, 1, 0, 0, 0]).round(6)
        begin = dt.datetime.combine(DAY, dt.time(), self.zone) + dt.timedelta(hours=hour)
        begin_us = int(begin.timestamp() * 1e6)
        stamps = pl.Series("time", begin_us + 20_000 * np.arange(count)).cast(pl.Datetime("us", "UTC"))
        return pl.DataFrame(values, CHANNELS).insert_column(0, stamps)

    def expect(self, subject: str, frame: pl.DataFrame) -> None:
        """These samples are on the dates of the project's zone."""
        dates = frame["time"].dt.convert_time_zone(str(self.zone)).dt.date().alias("date")
        self.rows.append(frame.insert_column(0, dates).with_columns(pl.lit(subject).alias("subject")))

    def spoil(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.bad[path] = content


def csv(frame: pl.DataFrame) -> bytes:
    stamps = frame["time"].dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    return frame.with_columns(stamps).write_csv().encode()


def parquet(frame: pl.DataFrame, path: Path) -> bytes:
    frame.write_parquet(path)
    return path.read_bytes()


def good_csv(box: Box, name: str) -> None:
    frame = box.signal(name)
    (box.day / f"{name}_a.csv").write_bytes(csv(frame))
    box.expect(name, frame)


def good_parquet(box: Box, name: str) -> None:
    frame = box.signal(name)
    frame.write_parquet(box.day / f"{name}_a.parquet")
    box.expect(name, frame)


def good_with_odd_name(box: Box, name: str) -> None:
    frame = box.signal(name)
    (box.day / f"{name}_{'x' * 230}.CSV").write_bytes(csv(frame))
    box.expect(name, frame)


def good_hard_link(box: Box, name: str) -> None:
    frame = box.signal(name)
    (box.outside / f"{name}.csv").write_bytes(csv(frame))
    (box.day / f"{name}_a.csv").hardlink_to(box.outside / f"{name}.csv")
    box.expect(name, frame)


def over_midnight(box: Box, name: str) -> None:
    frame = box.signal(name, seconds=6, hour=24 - 2 / 3600)
    (box.day / f"{name}_night.csv").write_bytes(csv(frame))
    box.expect(name, frame)


def two_nights_named_alike(box: Box, name: str) -> None:
    over_midnight(box, name)
    frame = box.signal(name, seconds=6, hour=48 - 2 / 3600, seed=1)
    next_day = box.inbox / (DAY + dt.timedelta(days=1)).isoformat()
    next_day.mkdir(exist_ok=True)
    (next_day / f"{name}_night.csv").write_bytes(csv(frame))
    box.expect(name, frame)


def three_days(box: Box, name: str) -> None:
    parts = [box.signal(name, hour=hour, seed=int(hour)) for hour in (9, 33, 57)]
    frame = pl.concat(parts)
    frame.write_parquet(box.day / f"{name}_week.parquet")
    box.expect(name, frame)


def overlapping(box: Box, name: str) -> None:
    frame = box.signal(name, seconds=9)
    (box.day / f"{name}_part1.csv").write_bytes(csv(frame[:300]))
    frame[200:].write_parquet(box.day / f"{name}_part2.parquet")
    box.expect(name, frame)


def overlapping_at_midnight(box: Box, name: str) -> None:
    frame = box.signal(name, seconds=9, hour=24 - 4 / 3600)
    (box.day / f"{name}_a.csv").write_bytes(csv(frame[:300]))
    next_day = box.inbox / (DAY + dt.timedelta(days=1)).isoformat()
    next_day.mkdir(exist_ok=True)
    (next_day / f"{name}_b.csv").write_bytes(csv(frame[150:]))
    box.expect(name, frame)


def contained(box: Box, name: str) -> None:
    frame = box.signal(name)
    (box.day / f"{name}_a.csv").write_bytes(csv(frame))
    box.spoil(box.day / f"{name}_b.csv", csv(frame[20:150]))
    box.expect(name, frame)


def duplicate(box: Box, name: str) -> None:
    good_csv(box, name)
    box.spoil(box.day / f"{name}_copy.csv", (box.day / f"{name}_a.csv").read_bytes())


def conflict(box: Box, name: str) -> None:
    good_csv(box, name)
    path = box.day / f"{name}_a.parquet"
    box.bad[path] = parquet(box.signal(name, seed=1), path)


def spoiled(change: Callable[[bytes], bytes], file: str = "{}_bad.csv") -> Callable[[Box, str], None]:
    def put(box: Box, name: str) -> None:
        box.spoil(box.day / file.format(name), change(csv(box.signal(name))))

    return put


def truncated_parquet(box: Box, name: str) -> None:
    path = box.day / f"{name}_bad.parquet"
    box.spoil(path, parquet(box.signal(name), path)[:-40])


def milli_g(box: Box, name: str) -> None:
    frame = box.signal(name)
    box.spoil(box.day / f"{name}_bad.csv", csv(frame.with_columns(pl.col(CHANNELS[:3]) * 1000)))


def misplaced(box: Box, name: str) -> None:
    box.spoil(box.inbox / "today" / "deeper" / f"{name}_a.csv", csv(box.signal(name)))


def left(make: Callable[[Box, Path], object], file: str = "{}_odd.csv") -> Callable[[Box, str], None]:
    def put(box: Box, name: str) -> None:
        path = box.day / file.format(name)
        make(box, path)
        box.left.append(path)

    return put


def link_to_file(box: Box, path: Path) -> None:
    (box.outside / "thesis.csv").write_bytes(csv(box.signal("outside")))
    path.symlink_to(box.outside / "thesis.csv")


def link_to_folder(box: Box, path: Path) -> None:
    folder = box.outside / DAY.isoformat()
    folder.mkdir(exist_ok=True)
    (folder / "s01_private.csv").write_bytes(csv(box.signal("s01")))
    (folder / "photo.jpg").write_bytes(b"precious")
    path.symlink_to(folder)


def link_named_like_a_day(box: Box, name: str) -> None:
    path = box.inbox / f"2023-01-{1 + int(name[1:]):02d}"
    box.inbox.mkdir(parents=True, exist_ok=True)
    link_to_folder(box, path)
    box.left.append(path)


def not_utf_8(box: Box, path: Path) -> None:
    Path(os.fsdecode(os.fsencode(path))).write_bytes(csv(box.signal("s01")))


KINDS: dict[str, Callable[[Box, str], None]] = {
    **{
        kind.__name__: kind
        for kind in (
            good_csv, good_parquet, good_with_odd_name, good_hard_link, over_midnight, two_nights_named_alike,
            three_days, overlapping, overlapping_at_midnight, contained, duplicate, conflict, truncated_parquet,
            milli_g, misplaced, link_named_like_a_day,
        )
    },
    "truncated": spoiled(lambda text: text[:-25]),
    "empty": spoiled(lambda _: b""),
    "header only": spoiled(lambda text: text.partition(b"\n")[0] + b"\n"),
    "Arabic digits": spoiled(lambda text: text.decode().translate(ARABIC).encode()),
    "Arabic values": spoiled(lambda text: text.replace(b"0.", "٠.".encode())),
    "binary": spoiled(lambda text: bytes(range(256)) * 9),
    "no underscore": spoiled(bytes, "{}.csv"),
    "spreadsheet": spoiled(bytes, "{}_a.xlsx"),
    "markup and line break": spoiled(bytes, "[red]{}\n\x1b[31m_a.csv"),
    "long and bad": spoiled(lambda text: text[:-25], "{}_" + "y" * 235 + ".csv"),
    "long and misnamed": spoiled(bytes, "{}" + "ß" * 120 + ".docx"),
    "link to a file outside": left(link_to_file),
    "link to a folder outside": left(link_to_folder, "{}"),
    "link to a folder inside": left(lambda box, path: path.symlink_to("..")),
    "link to itself": left(lambda box, path: path.symlink_to(path.name)),
    "dangling link": left(lambda box, path: path.symlink_to("/nowhere/annex")),
    "pipe": left(lambda box, path: os.mkfifo(path)),
    "socket": left(lambda box, path: os.mknod(path, stat.S_IFSOCK | 0o600)),
    "not UTF-8": left(not_utf_8, "{}_\udcff.csv"),
    "folder not in UTF-8": left(lambda box, path: (path / "deeper").mkdir(parents=True), "{}_\udcff"),
}  # fmt: skip


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Type, time of change and content of everything in a folder; nothing but files is opened."""

    def walk() -> Iterator[Path]:
        for parent, folders, files in os.walk(folder):
            yield from (Path(parent, name) for name in (*folders, *files))

    found = {}
    for path in walk():
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        content = os.fsencode(path.readlink()) if path.is_symlink() else content
        found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mixtures")


@hypothesis_settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=9),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]),
    chunk_bytes=st.sampled_from([1, 200_000_000]),
)
@pytest.mark.release
def test_every_good_file_lands_and_all_else_is_named(
    folder: Path, kinds: list[str], zone: str, chunk_bytes: int
) -> None:
    check(folder / "project", kinds, zone, chunk_bytes)


def test_each_kind_once_in_one_inbox(folder: Path) -> None:
    check(folder / "project", sorted(KINDS), "Pacific/Auckland", 200_000_000)


def check(root: Path, kinds: list[str], zone: str, chunk_bytes: int) -> None:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    (root / "har.toml").write_text(HAR_TOML.replace('"UTC"', f'"{zone}"'))
    box = Box(root, ZoneInfo(zone))
    for number, kind in enumerate(kinds):
        KINDS[kind](box, f"p{number:02d}")
    outside, odd = tree(box.outside), {path: path.lstat() for path in box.left}
    project = Project(load_settings(root))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("har.jobs._lanes.CHUNK_BYTES", chunk_bytes)
        first = ingest(project)
        all_are_accounted_for(box, first, odd)
        assert tree(box.outside) == outside
        the_lake_holds(project, box)

        versions = project.lake.samples.version(), project.lake.recordings.version()
        before = tree(root / "data")
        second = ingest(project)
    assert (second.landed, second.quarantined) == ([], [])
    assert [one.file for one in second.skipped] == [one.file for one in first.skipped]
    assert sorted(second.known) == sorted(first.landed)
    assert (project.lake.samples.version(), project.lake.recordings.version()) == versions
    assert tree(root / "data") == before
    assert tree(box.outside) == outside


def all_are_accounted_for(box: Box, report: IngestReport, odd: dict[Path, os.stat_result]) -> None:
    named = {os.fsencode(path.relative_to(box.inbox)).decode("utf-8", "backslashreplace"): path for path in box.left}
    assert {one.file for one in report.skipped} == set(named)
    for one in (*report.skipped, *report.quarantined):
        assert one.file in str(one.error)
        assert str(one.error).isprintable()
    for path, status in odd.items():
        assert path.lstat() == status
    assert len(report.quarantined) == len(box.bad)
    contents = sorted(one.now_at.read_bytes() for one in report.quarantined)
    assert contents == sorted(box.bad.values())
    assert not any(os.path.lexists(path) for path in box.bad)
    for one in report.quarantined:
        assert one.now_at.with_name(f"{one.now_at.name}.json").exists()
    assert report.complete == (not box.bad and not box.left)


def the_lake_holds(project: Project, box: Box) -> None:
    empty = pl.DataFrame(schema={"date": pl.Date, "time": pl.Datetime("us", "UTC"), "subject": pl.String})
    written = pl.concat([empty, *box.rows], how="diagonal").sort("date", "subject", "time")
    stored = project.lake.samples.read().sort("date", "subject", "time")
    assert stored.select("date", "subject", "time").equals(written.select("date", "subject", "time"))
    for channel in CHANNELS if len(written) else ():
        scale = STANDARD_GRAVITY if channel.startswith("accel") else 1
        np.testing.assert_allclose(stored[channel], written[channel] * scale, rtol=1e-5, atol=1e-5)
    key = ["date", "subject", "session"]
    counted = stored.group_by(key).len("samples").sort(key)
    recordings = project.lake.recordings.read().sort(key)
    assert recordings.select(*key, pl.col("samples").cast(pl.UInt32)).equals(counted)
