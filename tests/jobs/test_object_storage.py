"""Jobs with lake and model files on object storage leave what they leave in folders, whatever happens to them."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from s3_loop_support import (
    DAYS,
    INGEST,
    SCORE,
    add_champion,
    filled,
    record,
    require_success,
    same_tables,
    start,
    tables_of,
    write_project,
)
from s3_support import Faults, bucket, faulty_proxy, needs_moto

from har.errors import BackupError
from har.jobs.backup import backup
from har.jobs.check import check
from har.jobs.restore import restore
from har.project import open_project
from har.settings import load_settings
from har.storage import Location

pytestmark = [pytest.mark.stack, needs_moto]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Location:
    return bucket(monkeypatch, prefix="study")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """The tables of a lake in a folder, with two days ingested and scored."""
    return tables_of(filled(tmp_path_factory.mktemp("local") / "project").lake)


def check_nothing_is_missing(root: Path) -> None:
    report = check(open_project(root))
    assert not report.findings, report.findings
    assert report.partitions == 6


@pytest.mark.timeout(600)
def test_the_same_tables_and_a_backup_that_comes_back_anywhere(
    expected: dict[str, pl.DataFrame], place: Location, tmp_path: Path
) -> None:
    project = filled(tmp_path / "project", place)
    same_tables(tables_of(project.lake), expected)
    assert {path.name for path in (tmp_path / "project").iterdir()} >= {"mlruns"}
    assert not (tmp_path / "project" / "lake").exists()
    check_nothing_is_missing(project.settings.root)
    model = project.registry.model_path(1).read_bytes()
    report = backup(project, tmp_path / "all.tar")

    other = Location(f"s3://{place.bucket}/restored", place.service)
    for target in (other, None):
        root = write_project(tmp_path / ("clone" if target else "folder"), target)
        restore(load_settings(root), report.path, whose="here")
        back = open_project(root)
        assert same_tables(tables_of(back.lake), expected)
        assert back.registry.model_path("champion").read_bytes() == model
        check_nothing_is_missing(root)
    again = write_project(tmp_path / "third", other)
    with pytest.raises(BackupError, match=rf"{other}/lake/\w+: expected none of what the backup holds"):
        restore(load_settings(again), report.path, whose="here")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ({"status": (403, "InvalidAccessKeyId")}, "credentials that the store accepts"),
        ({"status": (404, "NoSuchBucket")}, "a bucket that exists"),
        ({"without_conditions": True}, "If-None-Match"),
    ],
    ids=["keys", "bucket", "conditions"],
)
def test_a_check_says_what_the_store_refuses(
    proxied: tuple[Faults, Location], tmp_path: Path, trouble: dict[str, object], said: str
) -> None:
    proxy, place = proxied
    for name, value in trouble.items():
        setattr(proxy, name, value)
    report = check(open_project(write_project(tmp_path / "project", place)))
    assert f"expected a store that enforces {said}" in report.findings[0].problem or said in report.findings[0].problem
    assert report.findings[0].remedy
    assert len(report.findings) == (1 if "without_conditions" in trouble else 2)


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Faults, Location]]:
    """A proxy before the store, and a place behind it."""
    with faulty_proxy() as proxy:
        yield proxy, bucket(monkeypatch, url=proxy.url, prefix="study")


def kill_after(requests: int, proxy: Faults, process: subprocess.Popen[str]) -> bool:
    """Kill a process when the store has answered so many of its requests; whether it was still running."""
    first = proxy.passed
    while process.poll() is None and proxy.passed - first < requests:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.release
@pytest.mark.timeout(600)
def test_killed_at_any_moment(
    expected: dict[str, pl.DataFrame], proxied: tuple[Faults, Location], tmp_path: Path
) -> None:
    proxy, place = proxied
    root = write_project(tmp_path / "project", place)
    record(root)
    killed = [kill_after(requests, proxy, start(root, INGEST)) for requests in (5, 12, 25, 40)]
    require_success(start(root, INGEST))
    add_champion(open_project(root))
    killed += [kill_after(requests, proxy, start(root, SCORE)) for requests in (5, 15, 30, 45)]
    require_success(start(root, SCORE))
    assert sum(killed) >= 6
    assert same_tables(tables_of(open_project(root).lake), expected)
    check_nothing_is_missing(root)


@pytest.mark.release
@pytest.mark.timeout(600)
def test_a_restore_that_was_killed_goes_on(
    expected: dict[str, pl.DataFrame], proxied: tuple[Faults, Location], tmp_path: Path
) -> None:
    proxy, place = proxied
    report = backup(filled(tmp_path / "project"), tmp_path / "all.tar")
    root = write_project(tmp_path / "clone", place)
    code = (
        "import sys\nfrom pathlib import Path\nfrom har.jobs.restore import restore\n"
        f"restore(open_project().settings, Path({str(report.path)!r}), whose='here')"
    )
    assert kill_after(25, proxy, start(root, code))
    assert (root / ".har-restore").exists()
    require_success(start(root, code))
    assert same_tables(tables_of(open_project(root).lake), expected)
    check_nothing_is_missing(root)


@pytest.mark.release
@pytest.mark.timeout(600)
@pytest.mark.parametrize("apart", [False, True], ids=["same days", "different days"])
def test_two_at_once(expected: dict[str, pl.DataFrame], place: Location, tmp_path: Path, apart: bool) -> None:
    root = write_project(tmp_path / "project", place)
    record(root)
    ingests = [INGEST.replace("()", f"(), date=dt.date.fromisoformat({day!r})", 1) if apart else INGEST for day in DAYS]
    require_success(*(start(root, f"import datetime as dt\n{code}") for code in ingests))
    add_champion(open_project(root))
    require_success(start(root, SCORE), start(root, SCORE))
    assert same_tables(tables_of(open_project(root).lake), expected)
    check_nothing_is_missing(root)


@pytest.mark.release
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "trouble",
    [{"share_500": 0.1, "share_503": 0.1}, {"share_lost": 0.1}, {"delay_s": 0.15}],
    ids=["one in five refused", "one in ten done but refused", "slow"],
)
def test_a_store_on_a_bad_day(
    expected: dict[str, pl.DataFrame],
    proxied: tuple[Faults, Location],
    tmp_path: Path,
    trouble: dict[str, float],
) -> None:
    proxy, place = proxied
    for name, value in trouble.items():
        setattr(proxy, name, value)
    project = filled(tmp_path / "project", place)
    assert proxy.failed or "delay_s" in trouble
    assert same_tables(tables_of(project.lake), expected)
    assert backup(project, tmp_path / "all.tar").contents.parts()["lake"][0] > 12
    check_nothing_is_missing(project.settings.root)
