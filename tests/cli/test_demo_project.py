"""Where the demo runs: in the project itself only if the sample's recordings and versions belong there."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from tests_support import HAR_TOML

from har.sample import SAMPLE_ACTIVITIES
from har.settings import Settings, load_settings
from har_cli.demo._project import demo_project, why_elsewhere

ROOT = Path(__file__).parents[2]


@pytest.fixture
def with_code(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the code that bentos are built from; what a demo sets in the environment is taken back."""
    for name in ("bentos", "flows", "requirements", "src", "bentofile.yaml", ".bentoignore", "prefect.yaml"):
        (project / name).symlink_to(ROOT / name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere/others.db")
    return project


def changed(project: Path, **sections: dict[str, object]) -> Settings:
    """The project's settings with other values in some sections."""
    values = load_settings(project).model_dump(mode="json", exclude_none=True)
    for section, change in sections.items():
        values[section] |= change
    return Settings.from_values(values, root=project)


def test_a_project_about_the_sample_is_its_own_demo(with_code: Path) -> None:
    settings = changed(with_code, activities={"names": list(SAMPLE_ACTIVITIES)})
    assert why_elsewhere(settings) == ""
    assert demo_project(settings) is settings
    assert not (with_code / "demo").exists()


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"activities": {"names": ["WALKING", "SITTING"], "null": "OTHER"}}, "other activities"),
        (
            {
                "activities": {"names": list(SAMPLE_ACTIVITIES)},
                "tracking": {"uri": "postgresql+psycopg://har@db.example.org/har"},
            },
            "a database",
        ),
        (
            {"activities": {"names": list(SAMPLE_ACTIVITIES)}, "paths": {"lake": "s3://bucket/lake"}},
            "on object storage",
        ),
    ],
    ids=["activities", "database", "bucket"],
)
def test_else_it_has_a_project_of_its_own(with_code: Path, sections: dict[str, dict[str, object]], why: str) -> None:
    settings = changed(with_code, windows={"length_s": 10.0}, split={"held_out": ["p07"]}, **sections)
    assert why in why_elsewhere(settings)
    before = (with_code / "har.toml").read_text()
    shown = demo_project(settings)
    assert shown.root == with_code / "demo"
    assert os.environ["HAR_ROOT"] == str(shown.root)
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert shown.tracking.uri == ""
    assert shown.path("lake") == with_code / "demo" / "lake"
    assert shown.activities.all == SAMPLE_ACTIVITIES
    assert shown.sensors == settings.sensors
    assert shown.windows.length_s == 4
    assert shown.split.held_out == ()
    for name in ("bentos", "flows", "requirements", "src"):
        assert not (shown.root / name).is_symlink()
        assert (shown.root / name).is_dir()
    assert (with_code / "har.toml").read_text() == before == HAR_TOML
    assert tomllib.loads((shown.root / "har.toml").read_text())["project"]["name"] == f"{settings.project.name}-demo"
    assert why_elsewhere(shown) == ""
