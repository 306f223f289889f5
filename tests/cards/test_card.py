"""The card of a version: each figure is the registry's, what nobody recorded is unknown, and services hand it out."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from har.cards import CARD, FACTS, UNKNOWN, Facts, render_card
from har.errors import RegistryError, UnknownVersionError
from har.jobs.card import card_of
from har.jobs.train import train
from har.project import Project, open_project
from har.settings import Settings
from har_cli._app import app

OWN = """

[card]
purpose = "Count <repetitions> of exercises"
consent = "signed form 12, kept by the clinic"
licence = "MIT"
watts = 36.0
grams_co2_per_kwh = 100.0
"""


@pytest.fixture(scope="module")
def trained(veteran: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a version 2, at whose training har.toml had the words of `OWN`."""
    root = shutil.copytree(veteran, tmp_path_factory.mktemp("carded") / "project")
    path = root / "har.toml"
    path.write_text(path.read_text(encoding="utf-8") + OWN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAR_ROOT", str(root))
        assert train(open_project(), seed=5).version == 2
    return root


@pytest.fixture
def carded(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("HAR_ROOT", str(trained))
    return open_project()


def front_and_body(text: str) -> tuple[dict, str]:
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def rows(body: str) -> dict[str, list[str]]:
    """The cells of all tables by the first cell of their row."""
    lines = [line.strip("|").split("|") for line in body.splitlines() if line.startswith("|")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_each_figure_is_the_registrys(carded: Project) -> None:
    version = carded.registry.version(2)
    text = carded.registry.artifact(2, CARD).read_text(encoding="utf-8")
    front, body = front_and_body(text)
    table, metrics = rows(body), version.metrics
    shown = {
        "accuracy": "accuracy",
        "macro-F1": "macro_f1",
        "worst subject, accuracy": "least_subject_accuracy",
        "expected calibration error": "calibration_error",
    }
    for title, name in shown.items():
        assert table[title][0] == f"{metrics[name]:.3f}", title
    assert table["worst activity, recall"][0].startswith(f"{metrics['least_recall']:.3f} (")
    for title, name in {"accuracy": "accuracy", "macro-F1": "macro_f1"}.items():
        assert table[title][1] == f"{metrics[f'{name}_low']:.3f} to {metrics[f'{name}_high']:.3f}"
    windows = f"On {metrics['windows']:,.0f} labelled windows of {metrics['subjects']:.0f} held-out subjects"
    assert windows in body
    results = front["model-index"][0]["results"][0]
    assert {one["name"]: one["value"] for one in results["metrics"]} == {
        "accuracy": metrics["accuracy"],
        "macro-F1": metrics["macro_f1"],
        "expected calibration error": metrics["calibration_error"],
        "accuracy of the worst subject": metrics["least_subject_accuracy"],
        "recall of the worst activity": metrics["least_recall"],
    }
    recipe = carded.registry.recipe(2)
    assert results["dataset"]["revision"] == recipe.data_version == version.tags["data_version"]
    assert version.sha256 in body and f"`{recipe.network}`, seed 5" in body


def test_the_front_matter_has_what_a_model_index_must_have(carded: Project) -> None:
    front, _ = front_and_body(carded.registry.artifact(2, CARD).read_text(encoding="utf-8"))
    assert front["license"] == "mit" and front["library_name"] == "onnx"
    (model,) = front["model-index"]
    (result,) = model["results"]
    assert model["name"] and result["task"]["type"] and result["dataset"]["type"] and result["dataset"]["name"]
    assert all(isinstance(one["type"], str) and isinstance(one["value"], float) for one in result["metrics"])


def test_data_are_counted_by_side_and_no_subject_is_named(carded: Project) -> None:
    facts = Facts.read(carded.registry.artifact(2, FACTS))
    metrics, recipe = carded.registry.version(2).metrics, carded.registry.recipe(2)
    assert facts.sides["train"].windows == metrics["windows_trained"]
    assert facts.sides["validation"].windows == metrics["windows_calibrated"]
    assert facts.sides["held_out"].windows == metrics["windows"]
    for side, subjects in recipe.split.items():
        assert facts.sides[side].subjects == len(subjects)
        assert sum(facts.sides[side].activities.values()) == facts.sides[side].windows
    settings = carded.settings
    stride_h = settings.stride / settings.sensors.rate_hz / 3600
    assert facts.sides["train"].hours == pytest.approx(facts.sides["train"].windows * stride_h, abs=1e-3)
    assert min(facts.subjects) == pytest.approx(metrics["least_subject_accuracy"])
    text = carded.registry.artifact(2, CARD).read_text(encoding="utf-8")
    for subject in [name for side in recipe.split.values() for name in side]:
        assert not re.search(rf"\b{subject}\b", text), subject


def test_the_projects_words_are_on_it_and_the_rest_is_unknown(carded: Project) -> None:
    text = carded.registry.artifact(2, CARD).read_text(encoding="utf-8")
    assert "Count <repetitions> of exercises" in text and "signed form 12, kept by the clinic" in text
    assert f"**Not to be used for:** {UNKNOWN}" in text and f"**Questions to:** {UNKNOWN}" in text
    facts = Facts.read(carded.registry.artifact(2, FACTS))
    watt_hours = facts.seconds * 36 / 3600
    assert f"{watt_hours:.3g} Wh at 36 W, {watt_hours * 0.1:.3g} g CO₂" in text


def test_a_version_of_an_older_release_gets_its_card_when_it_is_asked_for(
    carded: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As registered before there were facts: what they would tell is unknown, and no figure is made up."""
    monkeypatch.setattr("har.registry.Version.has", lambda version, name: False)
    text = render_card(carded.registry, 2)
    assert f"**Hours, devices, placements, windows per activity:** {UNKNOWN}" in text
    assert f"**Time:** {UNKNOWN}" in text and f"**Packages:** {UNKNOWN}" in text
    assert "none: days of this version cannot be watched" in text
    assert rows(text)["accuracy"][0] == f"{carded.registry.version(2).metrics['accuracy']:.3f}"


def test_it_is_the_same_each_time_and_never_changes(carded: Project, tmp_path: Path) -> None:
    stored = card_of(carded.registry, 2).read_text(encoding="utf-8")
    assert stored == render_card(carded.registry, 2)
    other = tmp_path / CARD
    other.write_text("another")
    with pytest.raises(RegistryError, match="Files of a version never change"):
        carded.registry.attach(2, other)
    assert card_of(carded.registry, 2).read_text(encoding="utf-8") == stored


def test_the_command_prints_it(carded: Project) -> None:
    shown = CliRunner().invoke(app, ["models", "--card", "2"])
    assert shown.exit_code == 0
    assert shown.output == carded.registry.artifact(2, CARD).read_text(encoding="utf-8")
    with pytest.raises(UnknownVersionError, match="99"):
        CliRunner().invoke(app, ["models", "--card", "99"], catch_exceptions=False)


def test_facts_that_were_cut_off_are_refused(tmp_path: Path) -> None:
    path = tmp_path / FACTS
    for text in ("{", "[]", json.dumps({"format": 2}), json.dumps({"format": 1, "sides": {}})):
        path.write_text(text)
        with pytest.raises(RegistryError, match="the facts of a training, format 1"):
            Facts.read(path)


def test_a_licence_is_an_identifier(change) -> None:
    with pytest.raises(ValueError, match="licence"):
        change(card={"licence": "as is: ask us"})


def test_the_settings_say_nothing_by_default(settings: Settings) -> None:
    assert set(vars(settings.card).values()) == {"", 0.0}
