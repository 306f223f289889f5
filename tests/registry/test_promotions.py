"""Moving aliases by gate and by hand, and the log that says who did it, when and why."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests_support import example_recipe

from har.errors import ModelError, NoChampionError, RegistryError, UnknownVersionError
from har.registry import Registry, whoami


def aliases(registry):
    return {alias: version.number for version in registry.versions() for alias in version.aliases}


def test_promoting_moves_challenger_to_champion_and_champion_to_previous(stocked):
    stocked.set_challenger(1, who="har train")
    assert aliases(stocked) == {"challenger": 1}
    stocked.promote(1, reason="first", who="har train", by_gate=True)
    assert aliases(stocked) == {"champion": 1}
    stocked.set_challenger(2)
    move = stocked.promote(2, reason="+1.2 points", who="har train", figures={"accuracy": 0.88}, by_gate=True)
    assert aliases(stocked) == {"champion": 2, "previous": 1}
    assert stocked.champion().number == 2
    assert stocked.version("previous").number == 1
    assert (move.champion_before, move.champion_after, move.by_gate) == (1, 2, True)


def test_promoting_another_version_leaves_the_challenger_alone(stocked):
    stocked.set_challenger(3)
    stocked.promote(1, reason="by hand", who="me")
    assert aliases(stocked) == {"champion": 1, "challenger": 3}


def test_promoting_the_champion_again_changes_nothing_and_keeps_previous(stocked):
    stocked.promote(1, reason="first", who="me")
    first = stocked.promote(2, reason="better", who="me")
    assert stocked.promote(2, reason="rerun of a flow", who="me") == first
    assert aliases(stocked) == {"champion": 2, "previous": 1}
    assert [entry.reason for entry in stocked.log()] == ["first", "better"]


def test_a_rollback_swaps_and_a_second_one_undoes_it(stocked):
    stocked.promote(1, reason="first", who="me")
    stocked.promote(2, reason="better", who="me")
    back = stocked.rollback(reason="alarms in the night", who="me")
    assert aliases(stocked) == {"champion": 1, "previous": 2}
    assert (back.action, back.version, back.champion_before, back.champion_after) == ("rollback", 1, 2, 1)
    stocked.rollback(reason="it was the strap", who="me")
    assert aliases(stocked) == {"champion": 2, "previous": 1}


def test_a_rollback_without_a_previous_champion_is_refused(registry, register):
    with pytest.raises(NoChampionError, match="har train"):
        registry.rollback(reason="x", who="me")
    register(0)
    registry.promote(1, reason="first", who="me")
    with pytest.raises(NoChampionError, match="expected a previous champion to roll back to, but got only version 1"):
        registry.rollback(reason="x", who="me")
    assert len(registry.log()) == 1


def test_a_rejected_challenger_loses_the_alias_and_the_reason_stays(stocked):
    stocked.promote(1, reason="first", who="me")
    stocked.set_challenger(2)
    figures = {"accuracy": np.float32(0.5), "recall": {"PEN": float("nan")}, "subjects": ("s03", "s07")}
    stocked.reject(2, "4 points below the champion", who="har train", figures=figures, by_gate=True)
    assert aliases(stocked) == {"champion": 1}
    entry = stocked.log()[-1]
    assert (entry.action, entry.version, entry.reason) == ("reject", 2, "4 points below the champion")
    assert entry.figures == {"accuracy": 0.5, "recall": {"PEN": None}, "subjects": ["s03", "s07"]}


def test_the_champion_can_be_neither_challenger_nor_rejected(stocked):
    stocked.promote(1, reason="first", who="me")
    with pytest.raises(RegistryError, match="expected another version than the champion"):
        stocked.set_challenger(1)
    with pytest.raises(RegistryError, match="har rollback"):
        stocked.reject(1, "too slow")
    assert aliases(stocked) == {"champion": 1}


@pytest.mark.parametrize("action", ["promote", "set_challenger", "reject"])
def test_an_unknown_version_moves_nothing(stocked, action):
    call = {
        "promote": lambda: stocked.promote(9, reason="x", who="me"),
        "set_challenger": lambda: stocked.set_challenger(9),
        "reject": lambda: stocked.reject(9, "x"),
    }[action]
    with pytest.raises(UnknownVersionError, match="one of the versions 1, 2, 3, 4, but got 9"):
        call()
    assert stocked.log() == []


@pytest.mark.parametrize(("reason", "who", "named"), [(" ", "me", "reason"), ("x", "", "who")])
def test_a_move_needs_a_reason_and_a_name(stocked, reason, who, named):
    with pytest.raises(RegistryError, match=f"^{named}: expected a text for the promotion log, but got '"):
        stocked.promote(1, reason=reason, who=who)
    assert aliases(stocked) == {}


def test_the_log_names_who_when_why_and_is_chained(stocked):
    stocked.set_challenger(1)
    stocked.promote(1, reason="größer als 87 %", who="me", figures={"accuracy": 0.88})
    lines = (stocked.folder / "promotions.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["challenge", "promote"]
    wanted = {"who", "when", "action", "version", "from", "to", "reason", "figures", "previous"}
    assert all(wanted <= json.loads(line).keys() for line in lines)
    assert "größer" in lines[1]
    first, second = stocked.log()
    assert first.who == whoami()
    assert second.figures == {"accuracy": 0.88}
    assert datetime.now(UTC) - second.when < timedelta(minutes=5)
    assert stocked.verify_log() == 2


def rewrite(registry, change):
    path = registry.folder / "promotions.jsonl"
    path.write_bytes(change(path.read_bytes()))


def without_line(number):
    def change(content):
        lines = content.splitlines(keepends=True)
        del lines[number]
        return b"".join(lines)

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda content: content.replace(b'"who": "ann"', b'"who": "bob"'), r"promotions\.jsonl, line 2: "),
        (without_line(0), r"line 1: .*got one written after"),
        (without_line(1), r"line 2: "),
        (without_line(2), r"the last lines were changed or removed"),
        (
            lambda content: content.replace(b'"reason": "third"', b'"reason": "other"'),
            r"(?i)the last lines were changed",
        ),
        (lambda content: b"", "but got no line"),
        (lambda content: content + b"not json\n", "line 4: expected one entry"),
    ],
)
def test_a_rewritten_log_is_detected(stocked, change, named):
    for number, (who, reason) in enumerate([("ann", "first"), ("me", "second"), ("me", "third")], 1):
        stocked.promote(number, reason=reason, who=who)
    assert stocked.verify_log() == 3
    rewrite(stocked, change)
    with pytest.raises(RegistryError, match=f"(?i){named}"):
        stocked.verify_log()


def test_nothing_is_promoted_after_a_shortened_log(stocked):
    stocked.promote(1, reason="first", who="me")
    stocked.promote(2, reason="second", who="me")
    whole = (stocked.folder / "promotions.jsonl").read_bytes()
    rewrite(stocked, without_line(1))
    with pytest.raises(RegistryError, match=r"promotions\.jsonl and mlflow\.db from one backup"):
        stocked.promote(3, reason="third", who="me")
    (stocked.folder / "promotions.jsonl").write_bytes(whole)
    stocked.promote(3, reason="third", who="me")
    assert aliases(stocked) == {"champion": 3, "previous": 2}


def test_an_incomplete_last_line_is_moved_to_another_file(stocked):
    stocked.promote(1, reason="first", who="me")
    path = stocked.folder / "promotions.jsonl"
    torn = b'{"when": "2026-01-02T03:04:05+00:00", "who": "m'
    path.write_bytes(path.read_bytes() + torn)
    assert [entry.reason for entry in stocked.log()] == ["first"]
    stocked.promote(2, reason="second", who="me")
    assert [entry.reason for entry in stocked.log()] == ["first", "second"]
    assert (stocked.folder / "promotions.torn").read_bytes() == torn + b"\n"
    assert stocked.verify_log() == 2


def test_a_last_line_without_a_line_feed_counts(stocked):
    stocked.promote(1, reason="first", who="me")
    rewrite(stocked, bytes.rstrip)
    stocked.promote(2, reason="second", who="me")
    assert stocked.verify_log() == 2
    assert not (stocked.folder / "promotions.torn").exists()


def test_aliases_moved_by_hand_in_mlflow_are_logged(stocked):
    stocked.promote(1, reason="first", who="me")
    stocked._catalog.client.set_registered_model_alias(stocked.name, "champion", "2")
    assert stocked.champion().number == 2
    stocked.promote(3, reason="better", who="me")
    noticed, promoted = stocked.log()[1:]
    assert (noticed.action, noticed.champion_before, noticed.champion_after) == ("noticed", 1, 2)
    assert (promoted.champion_before, promoted.champion_after) == (2, 3)
    assert stocked.verify_log() == 3


def test_two_models_share_one_log(stocked, make_model):
    other = Registry(stocked.folder, "gait")
    other.register(make_model(project="gait"), params={}, metrics={}, recipe=example_recipe(), report=None, tags={})
    stocked.promote(1, reason="wrist", who="me")
    other.promote(1, reason="gait", who="me")
    stocked.promote(2, reason="wrist again", who="me")
    assert [entry.reason for entry in other.log()] == ["gait"]
    assert stocked.verify_log() == other.verify_log() == 3


LOSSES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_lost_database_is_not_taken_for_a_new_project(stocked, make_model, loss):
    stocked.promote(2, reason="first", who="me")
    loss(stocked.folder / "mlflow.db")
    # As in a new process: in this one, MLflow keeps the lost database open.
    registry = Registry(stocked.folder.rename(stocked.folder.with_name("later")), stocked.name)
    model = {"params": {}, "metrics": {}, "recipe": example_recipe(seed=9), "report": None, "tags": {}}
    for use in (
        registry.champion,
        lambda: registry.register(make_model(9), **model),
        lambda: registry.promote(1, reason="x", who="me"),
        lambda: registry.model_path(1),
        registry.verify,
    ):
        with pytest.raises(RegistryError, match=r"MLflow to know its versions, such as 2.*har models --accept"):
            use()
    old = registry.accept(reason="the disk died", who="me")
    assert old is not None
    assert b"first" in old.read_bytes()
    assert registry.register(make_model(9), **model).number == 1


def test_a_database_of_another_time_is_refused_until_a_person_accepts_it(stocked):
    stocked.promote(1, reason="first", who="me")
    older = (stocked.folder / "mlflow.db").read_bytes()
    stocked.promote(2, reason="second", who="me")
    (stocked.folder / "mlflow.db").write_bytes(older)
    registry = Registry(stocked.folder, stocked.name)
    with pytest.raises(RegistryError, match=r"promotions\.jsonl and mlflow\.db from one backup"):
        registry.champion()
    registry.accept(reason="yesterday's backup", who="me")
    assert registry.champion().number == 1
    assert [(entry.action, entry.reason) for entry in registry.log()] == [("noticed", "yesterday's backup")]
    assert registry.verify() == 1
    registry.promote(2, reason="again", who="me")
    assert registry.verify() == 2


def test_a_removed_log_is_refused(stocked):
    stocked.promote(1, reason="first", who="me")
    (stocked.folder / "promotions.jsonl").unlink()
    with pytest.raises(RegistryError, match="but got no line"):
        stocked.champion()


def test_a_champion_whose_files_are_gone_is_found(registry, register):
    registry.promote(register(), reason="first", who="me")
    assert registry.verify() == 1
    shutil.rmtree(registry.folder / "artifacts")
    with pytest.raises(ModelError, match="Restore it from a backup"):
        registry.verify()


@pytest.mark.parametrize("name", ["a b", "Übung", "a#b", "a%b", "a%20b", "a?b", "a+b", "a[b]", "a=b"])
def test_a_registry_below_any_path(template, make_model, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name / "mlruns"
    folder.mkdir(parents=True)
    shutil.copy(template, folder)
    registry = Registry(folder, "wrist")
    registry.register(make_model(), params={}, metrics={}, recipe=example_recipe(), report=None, tags={})
    registry.promote(1, reason="first", who="me")
    assert registry.verify() == 1
    assert registry.model_path("champion").is_relative_to(folder)
    assert {path.name for path in tmp_path.iterdir()} == {name, "trained-wrist-0"}
