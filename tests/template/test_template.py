"""The template, by the copier command line: the root is its fixed point, and other answers make a sound project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from har.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
COPIER = ROOT / ".venv" / "copier" / "bin" / "copier"
NOT_RENDERED = ("template", "copier.yml", "tests/template")
OTHER_ANSWERS = {
    "project_name": "pocket-har",
    "description": 'Walking, sitting, standing and "lying" with a phone in the pocket.',
    "sensors": "accelerometer",
    "accelerometer_unit": "m/s^2",
    "rate_hz": "100",
    "window_s": "1.28",
    "overlap": "0.25",
    "activities": "[walk, sit, stand, lie]",
    "timezone": "Europe/Vienna",
}

pytestmark = pytest.mark.skipif(not COPIER.exists(), reason="make setup installs copier")


def git(*words: str, cwd: Path) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *identity, *words], cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the working tree as it is now, committed."""
    folder = tmp_path_factory.mktemp("source") / "template source"
    for name in git("ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT).split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    git("init", "--quiet", "--initial-branch=main", cwd=folder)
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--message=source", cwd=folder)
    return folder


def render(source: Path, target: Path, answers: dict[str, str]) -> subprocess.CompletedProcess[str]:
    data = [word for name, value in answers.items() for word in ("--data", f"{name}={value}")]
    command = [str(COPIER), "copy", "--defaults", "--quiet", "--vcs-ref", "HEAD", *data, str(source), str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def other(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with three channels, 100 Hz and four activities."""
    target = tmp_path_factory.mktemp("other") / "pocket-har"
    done = render(source, target, OTHER_ANSWERS)
    assert done.returncode == 0, done.stderr
    return target


def test_default_answers_render_the_root_byte_for_byte(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "project"
    done = render(source, target, {})
    assert done.returncode == 0, done.stderr
    rendered = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    tracked = {
        name
        for name in git("ls-files", "-z", cwd=source).split("\0")
        if name and not any(name == part or name.startswith(f"{part}/") for part in NOT_RENDERED)
    }
    assert rendered - tracked == {".copier-answers.yml"}
    assert tracked - rendered == set()
    for name in sorted(tracked):
        assert (target / name).read_bytes() == (source / name).read_bytes(), name
        assert os.access(target / name, os.X_OK) == os.access(source / name, os.X_OK), name


def test_other_answers_land_in_the_settings(other: Path) -> None:
    settings = load_settings(other)
    assert settings.project.name == "pocket-har"
    assert settings.sensors.channels == ("accel_x", "accel_y", "accel_z")
    assert (settings.length, settings.stride) == (128, 96)
    assert settings.activities.all == ("walk", "sit", "stand", "lie")
    assert settings.sensors.accelerometer is not None
    assert settings.sensors.accelerometer.to_si == 1.0
    assert "Europe/Vienna" in (other / "prefect.yaml").read_text()
    assert (other / "README.md").read_text().startswith("# pocket-har\n")


def test_other_answers_make_a_project_that_lints(other: Path) -> None:
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        done = subprocess.run(
            [sys.executable, "-m", *command, "--no-cache"], cwd=other, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.timeout(420)
def test_other_answers_make_a_project_whose_unit_tests_pass(other: Path) -> None:
    folders = ["tests/windows", "tests/inference", "tests/recordings", "tests/test_settings.py", "tests/test_errors.py"]
    environment = {**os.environ, "PYTHONPATH": f"{other / 'src'}{os.pathsep}{other}"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    where = "import har, pathlib; print(pathlib.Path(har.__file__).resolve())"
    found = subprocess.run([sys.executable, "-c", where], env=environment, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_relative_to(other.resolve())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *folders],
        cwd=other,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("project_name", "My Project", "My Project"),
        ("rate_hz", "0.1", "between 5 and 2000"),
        ("window_s", "0.05", "fewer than 8 samples"),
        ("overlap", "1.0", "less than 1"),
        ("activities", "[walk, walk]", "twice"),
        ("activities", "[walk]", "two names or more"),
        ("activities", "[walk, 'sit down']", "sit down"),
    ],
)
def test_impossible_answers_are_refused(source: Path, tmp_path: Path, name: str, value: str, words: str) -> None:
    done = render(source, tmp_path / "project", {name: value})
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
    assert not (tmp_path / "project").exists()
