"""A found configuration enters har.toml, and nothing else in the file changes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from har.errors import SettingsError
from har.settings import load_settings
from har.tuning import edit, lines_of

ROOT = Path(__file__).resolve().parents[2]
FOUND = {
    "windows": {"length_s": 3.0, "overlap": 0.75},
    "training": {"epochs": 24, "values": {"learning_rate": 0.00512, "hidden": 128, "norm": True, "kind": 'a"b'}},
}


def test_lines_are_what_har_toml_says() -> None:
    assert tomllib.loads(lines_of(FOUND)) == FOUND


def test_the_projects_own_file_keeps_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "har.toml"
    before = (ROOT / "har.toml").read_text(encoding="utf-8")
    path.write_text(before, encoding="utf-8")
    edit(path, FOUND)
    after = path.read_text(encoding="utf-8")
    assert tomllib.loads(after)["training"]["values"] == FOUND["training"]["values"]
    changed = [(old, new) for old, new in zip(before.split("\n"), after.split("\n"), strict=True) if old != new]
    assert [old.split(" =")[0] for old, _ in changed] == ["length_s", "epochs", "values"] or [
        old.split(" =")[0] for old, _ in changed
    ] == ["length_s", "overlap", "epochs", "values"]
    for old, new in changed:
        assert old.partition("#")[2] == new.partition("#")[2]
    assert load_settings(tmp_path).training.epochs == 24


def test_a_file_without_these_lines_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "har.toml"
    path.write_text('[training]  # of models\nnetwork = "a # b"\n\n[split]\nfolds = 3')
    edit(path, {**FOUND, "split": {"folds": 4}})
    text = path.read_text()
    assert text.startswith('[training]  # of models\nnetwork = "a # b"\nepochs = 24\nvalues = {')
    assert tomllib.loads(text)["windows"] == FOUND["windows"]
    assert tomllib.loads(text)["split"] == {"folds": 4}


@pytest.mark.parametrize(
    "text",
    ["training.epochs = 15\n", "[training]\nvalues = {}\n\n[training.device]\n", "training = { epochs = 3 }\n"],
)
def test_another_layout_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "har.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"(?s)Write these lines yourself:\n\[training\]\nepochs = 7"):
        edit(path, {"training": {"epochs": 7, "device": "cpu"}})
    assert path.read_text() == text
