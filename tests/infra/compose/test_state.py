"""The choices of a stack: kept from the first start, replaced by a variable, checked before anything starts."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from har.errors import SettingsError
from infra.compose.state import State


def test_choices_are_kept_for_later_commands(tmp_path: Path) -> None:
    first = State.load(tmp_path, "har-mlops", {"STACK_PROJECT": "two", "STACK_PREFECT_PORT": "4300"})
    assert not first.begun
    first.save()
    later = State.load(tmp_path, "har-mlops", {})
    assert later.begun and later.project == "two" and later.chosen["STACK_PREFECT_PORT"] == "4300"
    assert State.load(tmp_path, "har-mlops", {"STACK_PREFECT_PORT": "4400"}).chosen["STACK_PREFECT_PORT"] == "4400"
    assert stat.S_IMODE(later.folder.stat().st_mode) == 0o700


def test_images_come_from_their_file_and_decide_what_the_worker_asks(tmp_path: Path) -> None:
    (tmp_path / ".stack").mkdir()
    (tmp_path / ".stack/images.env").write_text("# by hand\nSTACK_TRAIN_IMAGE=har-train:1\n", encoding="utf-8")
    state = State.load(tmp_path, "har", {})
    assert state.images == {"train": "har-train:1"} and state.variables()["STACK_SCORING"] == ""
    more = State.load(tmp_path, "har", {"STACK_BATCH_IMAGE": "har-batch:v1"})
    assert more.variables()["STACK_SCORING"] == "http://batch:3000"
    more.save_images()
    assert State.load(tmp_path, "har", {}).images == {"train": "har-train:1", "batch": "har-batch:v1"}


def test_an_address_of_this_machine_is_a_name_that_pages_answer_to(tmp_path: Path) -> None:
    values = State.load(tmp_path, "har", {"STACK_BIND": "10.0.0.5", "STACK_HOSTS": "har.example.org"}).variables()
    assert values["STACK_HOSTS"] == "har.example.org 10.0.0.5"
    assert json.loads(values["STACK_SERVING_HOSTS"]) == [
        *("online", "online-blue", "online-green", "127.0.0.1", "localhost"),
        *("har.example.org", "10.0.0.5"),
    ]
    assert State.load(tmp_path, "har", {"STACK_BIND": "::"}).variables()["STACK_HOSTS"] == ""


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"STACK_PREFECT_PORT": "zero"}, "STACK_PREFECT_PORT: expected a port"),
        ({"STACK_GRAFANA_PORT": "70000"}, "got 70000"),
        ({"STACK_PREDICT_TOKEN": "perhaps"}, "true or false"),
        ({"STACK_MLFLOW_PORT": "4200"}, "4200, which STACK_PREFECT_PORT has"),
        ({"STACK_PROJECT": "Über"}, "STACK_PROJECT: expected small letters"),
    ],
)
def test_a_choice_that_cannot_work_is_refused(tmp_path: Path, variables: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        State.load(tmp_path, "har", variables)


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / ".stack").mkdir()
    (tmp_path / ".stack/images.env").write_text("STACK_TRAIN_IMAGE=a\nHAR_X=1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"images\.env, line 2"):
        State.load(tmp_path, "har", {})


def test_a_project_with_capitals_and_spaces_has_a_stack_name(tmp_path: Path) -> None:
    assert State.load(tmp_path, "My Project", {}).project == "my-project"


def test_a_stack_of_an_earlier_release_serves_from_the_blue_box(tmp_path: Path) -> None:
    (tmp_path / ".stack").mkdir()
    (tmp_path / ".stack/images.env").write_text("STACK_ONLINE_IMAGE=har-online:v1\n", encoding="utf-8")
    values = State.load(tmp_path, "har", {}).variables()
    assert (values["STACK_BLUE_IMAGE"], values.get("STACK_GREEN_IMAGE")) == ("har-online:v1", None)


def test_each_box_has_its_image_while_a_version_is_released(tmp_path: Path) -> None:
    (tmp_path / ".stack").mkdir()
    wanted = {"stable": "har-online:v1", "canary": "har-online:v2", "backend": "green"}
    (tmp_path / ".stack/serving.json").write_text(json.dumps(wanted), encoding="utf-8")
    images = tmp_path / ".stack/images.env"
    images.write_text("STACK_ONLINE_IMAGE=har-online:v1\n", encoding="utf-8")
    assert State.load(tmp_path, "har", {}).boxes == {"green": "har-online:v1", "blue": "har-online:v2"}
    # What a person writes into images.env holds at the next start.
    images.write_text("STACK_ONLINE_IMAGE=har-online:v3\n", encoding="utf-8")
    assert State.load(tmp_path, "har", {}).boxes == {"green": "har-online:v3"}


def test_with_tls_only_this_machine_reaches_the_service_without_it(tmp_path: Path) -> None:
    state = State.load(tmp_path, "har", {"STACK_TLS": "1", "STACK_BIND": "10.0.0.5"})
    assert state.variables()["STACK_PLAIN_BIND"] == state.plain_host == "127.0.0.1"
    state.save()
    assert State.load(tmp_path, "har", {}).tls
    assert State.load(tmp_path, "har", {"STACK_TLS": "0"}).variables()["STACK_PLAIN_BIND"] == "10.0.0.5"
