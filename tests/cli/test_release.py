"""`har release`: what people are told, and what their commands leave for the release's process."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from memory_place_support import Place
from typer.testing import CliRunner, Result

from har.errors import ReleaseError
from har.release import Releases, State
from har.settings import load_settings
from har_cli import models
from har_cli._app import app
from har_cli._shared import out
from infra.serving import releasing

NEW = "test-project-online:v2-00000002"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    found = Place()
    monkeypatch.setattr(releasing, "place", lambda _settings: (found, ""))
    return found


def under_way(project: Path, place: Place) -> Releases:
    """A release at its second step, which the test watches."""
    place.start(NEW, salt="v2-1")
    place.share(0.25, lease_s=60)
    releases = Releases(load_settings(project).path("bentoml"))
    measure = {"name": "failed", "value": 0.0123, "limit": 0.02, "n": 210, "subjects": 4, "verdict": "pass"}
    releases.save(
        State(
            "v2-1",
            2,
            NEW,
            former=1,
            who="ada",
            why="better at stairs",
            phase="step",
            step=2,
            share=0.25,
            began=time.time(),
            step_began=time.time(),
            missing=("120 of 200 requests",),
            verdict="hold",
            measures=(measure,),
        )
    )
    return releases


def har(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, ["release", *arguments], catch_exceptions=True)


def test_status_says_where_it_stands_what_is_missing_and_that_nobody_watches(project: Path, place: Place) -> None:
    assert "No release has been started yet" in har("status").output
    under_way(project, place)
    said = har("status").output
    for words in (
        "v2-00000002 serves 25 % of the subjects",
        "Version 2 in place of version 1",
        "by ada: better at stairs",
        "Step 25 %",
        "Missing: 120 of 200 requests",
        "Nobody watches this release",
        "0.0123",
    ):
        assert words in said, said
    found = json.loads(har("status", "--json").output)
    assert (found["watched"], found["release"]["step"], found["serves"]["share"]) == (False, 2, 0.25)


def test_a_command_without_a_release_or_a_reason_says_the_way_out(project: Path, place: Place) -> None:
    result = har("pause", "--reason", "lunch")
    assert isinstance(result.exception, ReleaseError)
    assert "har release start" in str(result.exception)
    under_way(project, place)
    result = har("promote", "--reason", " ")
    assert "expected a reason" in str(result.exception)


def test_commands_are_left_for_whoever_watches(project: Path, place: Place) -> None:
    releases = under_way(project, place)
    said = har("pause", "--reason", "lunch").output
    assert "Nobody watches this release" in said
    har("promote", "--reason", "looked at it", "--everybody")
    assert [(order.command, order.why) for order in releases.orders("v2-1")] == [
        ("pause", "lunch"),
        ("finish", "looked at it"),
    ]


def test_abort_acts_on_the_traffic_even_if_the_release_does_not_answer(
    project: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = under_way(project, place)
    monkeypatch.setattr("har_cli.release._WAIT_S", 0.5)
    with releases.watching(), releases.one_hand():  # a process that is stopped in the middle of its turn
        result = har("abort", "--reason", "complaints")
    assert "Version 1 serves everybody" in result.output
    assert "has not answered" in result.output
    assert (place.now().share, place.canary) == (0.0, "")
    assert [order.command for order in releases.orders("v2-1")] == ["abort"]


def test_abort_without_a_release_says_so_and_is_no_error(project: Path, place: Place) -> None:
    result = har("abort", "--reason", "to be sure")
    assert result.exit_code == 0
    assert "No release is under way" in result.output
    assert place.calls == []


def test_whoever_promotes_without_a_server_is_told_what_still_serves(project: Path, place: Place) -> None:
    settings = load_settings(project)
    with out.capture() as said:
        models._say_who_serves(settings, 2, "har release start --version 2")
        models._say_who_serves(settings, 1, "har release start")  # it serves: nothing to say
    assert said.get() == "The online service still serves version 1: har release start --version 2\n"
