"""Processes killed within a move, and several at a time: aliases and log agree, and nothing is lost."""

from __future__ import annotations

import signal
from itertools import pairwise

import pytest

from har.errors import RegistryError
from har.registry import Registry, _backend

pytestmark = pytest.mark.stack

PROMOTE = """
import os, signal
from har.registry import Registry, _promotions
import mlflow

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

registry = Registry(folder, "wrist")
log, catalog = registry._moves.log, registry._catalog
if point == "before the log line":
    log.append = die
elif point == "inside the log line":
    def tear(line):
        with log.path.open("ab") as stream:
            stream.write(line[: len(line) // 2])
        die()
    log.append = tear
elif point == "before the aliases":
    catalog.set_aliases = die
elif point == "between two aliases":
    real, calls = mlflow.MlflowClient.set_registered_model_alias, []
    def second(*args, **kwargs):
        calls.append(args)
        return die() if len(calls) == 2 else real(*args, **kwargs)
    mlflow.MlflowClient.set_registered_model_alias = second
elif point == "before the head":
    catalog.set_head = die
elif point == "before the intent is removed":
    unlink = _promotions.Path.unlink
    def unlink_or_die(path, *args, **kwargs):
        return die() if path == log.intent else unlink(path, *args, **kwargs)
    _promotions.Path.unlink = unlink_or_die
registry.promote(2, reason="killed", who="child")
"""
POINTS = [
    "before the log line",
    "inside the log line",
    "before the aliases",
    "between two aliases",
    "before the head",
    "before the intent is removed",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_move_killed_half_way_is_finished_by_the_next_call(stocked, spawn, point):
    stocked.promote(1, reason="first", who="me")
    process = spawn(PROMOTE, folder=stocked.folder, point=point)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL

    fresh = Registry(stocked.folder, stocked.name)
    assert fresh.champion().number == 2
    assert fresh.version("previous").number == 1
    assert [(entry.reason, entry.champion_after) for entry in fresh.log()] == [("first", 1), ("killed", 2)]
    assert fresh.verify_log() == 2
    assert (fresh.folder / "promotions.torn").exists() == (point == "inside the log line")
    fresh.rollback(reason="back", who="me")
    assert fresh.champion().number == 1
    assert fresh.verify_log() == 3


@pytest.mark.parametrize("call", ["log", "versions", "verify_log", "model_path", "promote"])
def test_whatever_is_called_next_finishes_the_move(stocked, monkeypatch, call):
    stocked.promote(1, reason="first", who="me")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stocked._catalog, "set_aliases", stop)
        with pytest.raises(KeyboardInterrupt):
            stocked.promote(2, reason="cut off", who="me")
    assert stocked._catalog.aliases() == {"champion": 1}
    {
        "log": stocked.log,
        "versions": stocked.versions,
        "verify_log": stocked.verify_log,
        "model_path": lambda: stocked.model_path(2),
        "promote": lambda: stocked.promote(2, reason="again", who="me"),
    }[call]()
    assert stocked._catalog.aliases() == {"champion": 2, "previous": 1}
    assert [entry.reason for entry in stocked.log()] == ["first", "cut off"]


def test_two_processes_promoting_at_once_take_turns(stocked, spawn):
    stocked.promote(1, reason="first", who="me")
    program = """
from har.registry import Registry
registry = Registry(folder, "wrist")
for turn in range(3):
    for version in versions:
        registry.promote(version, reason=f"turn {turn}", who=who)
"""
    processes = [
        spawn(program, folder=stocked.folder, versions=versions, who=who)
        for versions, who in (((2, 3), "ann"), ((3, 4), "bob"))
    ]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    log = stocked.log()
    assert stocked.verify_log() == len(log)
    for before, after in pairwise(log):
        assert after.champion_before == before.champion_after
        assert after.aliases["previous"] == before.champion_after
    assert stocked.champion().number == log[-1].champion_after
    assert {entry.who for entry in log} == {"me", "ann", "bob"}


def test_a_lock_held_for_too_long_is_named(tmp_path):
    path = tmp_path / "promotions.lock"
    with (
        _backend.locked(path),
        pytest.raises(RegistryError, match=r"free within 0\.2 s, but got another process"),
        _backend.locked(path, timeout_s=0.2),
    ):
        raise AssertionError("the lock was given twice")
