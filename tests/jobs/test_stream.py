"""`har stream run`, `ledger` and `flush`: with the registry's champion, across a promotion, a backup and a restart."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest
from loop_support import write_mean_model
from stream_support import ListSource, await_true, bench, body, messages, movement, streamed
from tests_support import example_recipe
from typer.testing import CliRunner

from har.jobs.backup import backup
from har.jobs.restore import restore
from har.jobs.stream import Stopped, flush, ledger, run
from har.project import Project, open_project
from har.settings import Settings, load_settings
from har.streaming.envelope import StreamKey
from har.streaming.queue import open_queue
from har.streaming.sources import Delivery
from har_cli._app import app

_KEY = StreamKey("s01", "watch", "walk")
_QUICK = "\n[stream]\nidle_s = 1.0\nlake_s = 0.5\n"


def _add_champion(project: Project, *, gain: float) -> int:
    path = write_mean_model(project.settings.root / f"gain{gain}.onnx", project.settings, gain=gain)
    version = project.registry.register(
        path, params={}, metrics={}, recipe=example_recipe(seed=int(gain)), report=None, tags={}
    ).number
    project.registry.promote(version, reason="first", who="test")
    return version


def test_messages_wait_for_a_champion_and_a_promotion_takes_over_while_it_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("har.streaming.consumer._answering.LOOK_S", 0.05)
    (project / "har.toml").write_text((project / "har.toml").read_text() + _QUICK)
    opened = open_project(project)
    settings = opened.settings
    sent = messages(_KEY, movement(60, seed=1))
    source = ListSource([Delivery(body(one, settings)) for one in sent[:30]])
    stop = threading.Event()
    thread = threading.Thread(target=lambda: run(opened, stop, sources=[source]))
    thread.start()
    try:
        await_true(lambda: ledger(opened).total.received == 30, 60)
        assert ledger(opened).total.scored == 0
        first = _add_champion(opened, gain=4)
        await_true(lambda: ledger(opened).total.waiting == 0, 60)
        second = _add_champion(opened, gain=-4)
        later = messages(_KEY, movement(30, seed=1), start_us=sent[29].t0_us + 1_000_000, first=30)
        source.waiting += [Delivery(body(one, settings)) for one in later]
        await_true(lambda: ledger(opened).total.received == 60 and ledger(opened).total.waiting == 0, 60)
    finally:
        stop.set()
        thread.join(60)
    rows = streamed(settings)
    assert rows["model_version"].unique().sort().to_list() == [first, second]
    # The second one is always wrong, as the first never is.
    assert set(rows.filter(rows["model_version"] == second).head(5)["activity"]) == {"ABD"}
    assert set(rows.filter(rows["model_version"] == first).head(5)["activity"]) == {"PEN"}
    assert len(rows) == ledger(opened).total.windows


def test_the_commands_show_the_ledger_and_flush(settings: Settings) -> None:
    runner = CliRunner()
    assert "No message has come yet" in runner.invoke(app, ["stream", "ledger"]).output
    with bench(settings) as one:
        one.queue.put([*messages(_KEY, movement(60, seed=1)), messages(_KEY, movement(1, seed=1))[0]])
        one.quiet()
    shown = json.loads(runner.invoke(app, ["stream", "ledger", "--json"]).output)
    assert shown["balances"]
    assert (shown["total"]["received"], shown["subjects"]["s01"]["duplicate"]) == (61, 1)
    done = runner.invoke(app, ["stream", "flush"])
    assert done.exit_code == 0
    assert "29 predictions" in done.output.replace("\n", " ")
    assert len(streamed(settings)) == 29
    # A ledger that was tampered with is told.
    path = next(path for path in settings.path("stream").glob("shard-*.sqlite") if _has_streams(path))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE streams SET scored=scored-1")
    bad = runner.invoke(app, ["stream", "ledger"])
    assert bad.exit_code == 1
    assert "does not balance" in bad.output


def _has_streams(path: Path) -> bool:
    return bool(sqlite3.connect(path).execute("SELECT count(*) FROM streams").fetchone()[0])


def test_a_signal_sets_the_event_and_the_handlers_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Stopped().on_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(10)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_restored_project_goes_on_with_what_waited(settings: Settings, tmp_path: Path) -> None:
    opened = open_project(settings.root)
    sent = messages(_KEY, movement(60, seed=1))
    with bench(settings) as one:
        one.queue.put(sent[:40])
        one.settle()
        archive = backup(opened, tmp_path / "b.tar").path
    flush(opened)
    other = tmp_path / "other"
    other.mkdir()
    (other / "har.toml").write_bytes((settings.root / "har.toml").read_bytes())
    there = load_settings(other)
    restore(there, archive)
    assert open_queue(there).put(sent[:40]).duplicates == 40
    with bench(there) as one:
        one.queue.put(sent[40:])
        one.quiet()
        total = one.ledger().total
    assert (total.scored, total.duplicate, total.windows) == (60, 40, 29)
    flush(open_project(other))
    assert len(streamed(there)) == 29
