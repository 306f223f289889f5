"""Each line is collected exactly once: after a kill, by two runs at a time, while the service writes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from journal_support import Log, busy_day, encoded, prediction, same, shadow, tables
from tests_support import run_and_kill, run_until_commit

from har.jobs.collect import journal_files
from har.lake import Lake
from har.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def log(settings: Settings) -> Log:
    return Log(settings)


COLLECT = """
from har.jobs import collect as collection
from har.lake import Lake
from har.settings import load_settings
settings = load_settings()
collection.CHUNK_BYTES = 1
lake = Lake(settings.path("lake"), settings.sensors.channels)
print("ready", flush=True)
for chunk in collection.log_chunks(settings):
    collection.collect_files(lake, chunk)
"""


@pytest.mark.parametrize(
    "end",
    [
        *(
            pytest.param(partial(run_and_kill, delay_s=delay_s), marks=pytest.mark.release)
            for delay_s in (0.0, 0.05, 0.1, 0.2)
        ),
        *(partial(run_until_commit, commits=commits) for commits in (1, 4, 7)),
    ],
    ids=lambda end: "-".join(f"{name}{value}" for name, value in end.keywords.items()),
)
def test_killed_at_any_moment_and_run_again_gives_every_row_once(
    log: Log, project: Path, lake: Lake, settings: Settings, end: Callable[[str], None]
) -> None:
    busy_day(log)
    clean = Lake(project / "clean", settings.sensors.channels)
    kept = {path: path.read_bytes() for path in journal_files(log.folder)}
    log.collect(clean)
    assert clean.labels.read()["start"].null_count() == 0
    for path, content in kept.items():
        path.write_bytes(content)
    end(COLLECT)
    log.collect(lake)
    assert same(lake, clean)
    assert list(log.folder.iterdir()) == []


def test_two_runs_at_once_take_every_row_once(log: Log, project: Path, lake: Lake, settings: Settings) -> None:
    busy_day(log, files=6)
    kept = {path: path.read_bytes() for path in journal_files(log.folder)}
    runs = [subprocess.Popen([sys.executable, "-c", COLLECT], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [run.wait(60) for run in runs] == [0, 0]
    assert list(log.folder.iterdir()) == []
    for path, content in kept.items():
        path.write_bytes(content)
    clean = Lake(project / "clean", settings.sensors.channels)
    log.collect(clean)
    assert same(lake, clean)


def test_collecting_beside_a_writer_loses_nothing(log: Log, lake: Lake) -> None:
    total, stopped = 300, threading.Event()

    def serve() -> None:
        for file in range(10):
            path = log.folder / f"20240101T120000-77-{file}.jsonl"
            with path.with_name(f".{path.name}").open("wb", buffering=0) as writer:
                fcntl.flock(writer, fcntl.LOCK_EX)
                os.rename(writer.name, path)  # noqa: PTH104
                for number in range(file * 30, file * 30 + 30):
                    content = encoded(prediction(number), shadow(number))
                    writer.write(content[:100])
                    writer.write(content[100:])
                    time.sleep(0.002)
        stopped.set()

    thread = threading.Thread(target=serve)
    thread.start()
    while not stopped.is_set():
        log.collect(lake)
    thread.join()
    log.collect(lake)
    predictions, requests, _ = tables(lake)
    assert sorted(requests["request_id"]) == sorted(f"r{number}" for number in range(total))
    assert requests["shadow_version"].null_count() == 0
    assert len(predictions) == total
    assert list(log.folder.iterdir()) == []
