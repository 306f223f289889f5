"""`copier copy`: defaults render the root, impossible answers are rejected, unusual paths and addresses work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from template_support import COPIER, Copy, call, git

pytestmark = pytest.mark.stack

NOT_RENDERED = ("template", "copier.yml", "delivery", "tests/template", "tests/support/template_support.py")
BY_TESTS = {"README.md", "pyproject.toml"}
"""Files that mention tests which only some projects contain."""

IMPOSSIBLE = [
    ({"project_name": '7 "sins"'}, "start with a letter"),
    ({"project_slug": "My Project"}, "such as wrist-har"),
    ({"description": "two\nlines"}, "one line of text"),
    ({"author": " "}, "a name"),
    ({"licence": "beerware"}, "beerware"),
    ({"python_version": "2.7"}, "2.7"),
    ({"data_source": "floppy"}, "floppy"),
    ({"device": " "}, "such as Apple Watch"),
    ({"placement": " "}, "such as wrist"),
    ({"sensors": "thermometer"}, "thermometer"),
    ({"accelerometer_unit": "furlong"}, "furlong"),
    ({"further_channels": "[pressure]"}, "a mapping"),
    ({"further_channels": "{air pressure: hPa}"}, "air pressure"),
    ({"further_channels": "{pressure: }"}, "the unit of pressure is missing"),
    ({"further_channels": "{gyro_x: rad/s}"}, "reserved"),
    ({"rate_hz": "0.1"}, "between 5 and 2000"),
    ({"rate_hz": "fast"}, "fast"),
    ({"window_s": "0.05"}, "fewer than 8 samples"),
    ({"window_s": "-1"}, "more than 0"),
    ({"rate_hz": "5", "window_s": "1.5"}, "fewer than 8 samples"),
    ({"overlap": "1.0"}, "less than 1"),
    ({"overlap": "-0.1"}, "0 or more"),
    ({"activities": "[walk, sit, walk]"}, "walk is listed twice"),
    ({"activities": "[walk]"}, "two names or more"),
    ({"activities": "walk"}, "two names or more"),
    ({"activities": "[walk, 'sit down']"}, "sit down"),
    ({"activities": "[walk, no]"}, "in quotes"),
    ({"activities": "walk, sit down"}, "sit down"),
    ({"activities": "walk, , sit"}, "an empty name"),
    ({"activities": "walk, sit, walk"}, "walk is listed twice"),
    ({"activities": "[walk, run]", "null_class": "run"}, "among the activities"),
    ({"null_class": "all else"}, "such as other"),
    ({"timezone": "Vienna time"}, "such as Europe/Vienna"),
    ({"night_hour": "24"}, "between 0 and 23"),
    ({"training_day": "someday"}, "someday"),
    ({"tracking": "oracle"}, "oracle"),
    ({"containers": "rkt"}, "rkt"),
    ({"image_registry": "https://ghcr.io/team"}, "without https"),
    ({"dvc_remote": "backup"}, "such as s3://bucket/har"),
    ({"dvc_remote": 's3://bucket/"har"'}, "such as s3://bucket/har"),
    ({"tests": "none"}, "none"),
    ({"ci": "jenkins"}, "jenkins"),
]
"""Answers that copier must reject, and words of its message."""


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def in_every_project(source: Path) -> set[str]:
    """The root's files that a project with the full tests contains."""
    return {
        name
        for name in git("ls-files", "-z", cwd=source).split("\0")
        if name and not any(name == part or name.startswith(f"{part}/") for part in NOT_RENDERED)
    }


def assert_equal(source: Path, target: Path, names: set[str]) -> None:
    for name in sorted(names):
        assert (target / name).read_bytes() == (source / name).read_bytes(), name
        assert os.access(target / name, os.X_OK) == os.access(source / name, os.X_OK), name


def test_default_answers_with_full_tests_render_the_root_byte_for_byte(
    source: Path, copy: Copy, tmp_path: Path
) -> None:
    target = tmp_path / "project"
    done = copy(source, target, {"tests": "full"})
    assert done.returncode == 0, done.stderr
    expected = in_every_project(source)
    assert files(target) - expected == {".copier-answers.yml"}
    assert expected - files(target) == set()
    # The changelog is the project's own.
    assert_equal(source, target, expected - {"CHANGELOG.md"})


def test_default_answers_render_the_root_with_the_smoke_tests_only(source: Path, copy: Copy, tmp_path: Path) -> None:
    target = tmp_path / "project"
    done = copy(source, target)
    assert done.returncode == 0, done.stderr
    full_only = ("tests/", "requirements/test-tools.")
    expected = {name for name in in_every_project(source) if not name.startswith(full_only) or "tests/smoke/" in name}
    assert files(target) - expected == {".copier-answers.yml"}
    assert expected - files(target) == set()
    assert_equal(source, target, expected - {"CHANGELOG.md"} - BY_TESTS)
    lines = sum((target / name).read_text().count("\n") for name in expected if name.startswith("tests/"))
    assert 0 < lines <= 300
    assert "tests/support" not in (target / "pyproject.toml").read_text()
    readme = (target / "README.md").read_text()
    assert "make bench" not in readme
    assert "tests.bench" not in readme
    assert "bench" not in call("make", "help", cwd=target).stdout
    assert "bench" in call("make", "help", cwd=source).stdout


@pytest.fixture(scope="module")
def messages(source: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Copier's message for each of IMPOSSIBLE, all from one process and one clone."""
    folder = tmp_path_factory.mktemp("rejected")
    plain = folder / "template"
    shutil.copytree(source, plain, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    script = Path(__file__).with_name("_questions.py")
    done = subprocess.run(
        [COPIER.with_name("python"), script, plain, folder / "projects"],
        input=json.dumps([answers for answers, _ in IMPOSSIBLE]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "projects").exists()
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("number", range(len(IMPOSSIBLE)), ids=[str(answers) for answers, _ in IMPOSSIBLE])
def test_impossible_answers_are_rejected(messages: list[str], number: int) -> None:
    assert IMPOSSIBLE[number][1] in messages[number]


def test_a_message_fits_a_terminal_and_begins_with_an_example(messages: list[str]) -> None:
    ours = [message.partition("': ")[2].strip() for message in messages if "such as" in message]
    assert len(ours) > 20
    assert [message for message in ours if not message.startswith("such as ") or len(message) > 80] == []


def test_every_question_fits_a_terminal(source: Path) -> None:
    asked = yaml.safe_load((source / "copier.yml").read_text())
    helps = {name: one["help"] for name, one in asked.items() if isinstance(one, dict) and "help" in one}
    assert len(helps) > 20
    assert {name: text for name, text in helps.items() if len(text) > 78} == {}


@pytest.mark.release
def test_activities_may_be_listed_with_commas(source: Path, copy: Copy, tmp_path: Path) -> None:
    done = copy(source, tmp_path / "project", {"activities": " walk,sit , no"})
    assert done.returncode == 0, done.stderr
    assert 'names = ["walk", "sit", "no"]' in (tmp_path / "project" / "har.toml").read_text()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"project_name": '7 "sins"'}, "start with a letter"),
        ({"rate_hz": "fast"}, "fast"),
        ({"ci": "jenkins"}, "jenkins"),
    ],
    ids=["validator", "type", "choice"],
)
def test_the_command_line_rejects_an_impossible_answer(
    source: Path, copy: Copy, tmp_path: Path, answers: dict[str, str], words: str
) -> None:
    done = copy(source, tmp_path / "project", answers)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
    assert not (tmp_path / "project").exists()


def test_a_clone_without_links_is_rejected_with_the_remedy(source: Path, copy: Copy, tmp_path: Path) -> None:
    # What git on Windows does without Developer Mode; copier's own clone reads the same setting.
    no_links = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.symlinks", "GIT_CONFIG_VALUE_0": "false"}
    address = f"git+file://{str(source).replace(' ', '%20')}"
    done = copy(address, tmp_path / "project", {}, "--vcs-ref", "HEAD", **no_links)
    assert done.returncode != 0
    assert "git config --global core.symlinks true" in done.stdout + done.stderr
    assert not (tmp_path / "project").exists()


def test_the_template_runs_no_code_of_its_own(source: Path) -> None:
    questions = yaml.safe_load((source / "copier.yml").read_text())
    assert not {"_tasks", "_migrations", "_jinja_extensions", "_external_data"} & set(questions)


@pytest.mark.release
def test_from_a_git_address_at_a_tag_into_a_path_with_spaces(source: Path, copy: Copy, tmp_path: Path) -> None:
    upstream = tmp_path / "upstream.git"
    git("clone", "--quiet", "--bare", str(source), str(upstream), cwd=tmp_path)
    git("tag", "v0.1.0", cwd=upstream)
    target = tmp_path / "my projects" / "wrist har"
    target.parent.mkdir()
    done = copy(f"git+file://{upstream}", target, {"project_name": "wrist-har"}, "--vcs-ref", "v0.1.0")
    assert done.returncode == 0, done.stderr
    answers = yaml.safe_load((target / ".copier-answers.yml").read_text())
    assert answers["_commit"] == "v0.1.0"
    assert answers["_src_path"] == f"git+file://{upstream}"
    assert answers["project_slug"] == "wrist-har"
    assert "known" not in answers
    assert (target / "src" / "har" / "__init__.py").is_file()
    assert not (target / "src").is_symlink()


@pytest.mark.release
def test_a_second_copy_overwrites_only_with_the_option(source: Path, copy: Copy, tmp_path: Path) -> None:
    target = tmp_path / "project"
    assert copy(source, target, {"project_name": "first"}).returncode == 0
    own = target / "har.toml"
    own.write_text(own.read_text() + "\n# our own line\n")
    (target / "data").mkdir()
    (target / "data" / "kept.csv").write_text("time\n")
    asked = copy(source, target, {"project_name": "first"})
    assert asked.returncode != 0, "copier asks whether to overwrite har.toml, and stdin is closed"
    assert "# our own line" in own.read_text()
    forced = copy(source, target, {"project_name": "second"}, "--vcs-ref", "HEAD", "--overwrite")
    assert forced.returncode == 0, forced.stderr
    assert (target / "README.md").read_text().startswith("# second\n")
    assert "# our own line" not in own.read_text()
    assert (target / "data" / "kept.csv").is_file()


def test_the_message_names_the_next_steps(source: Path, copy: Copy, tmp_path: Path) -> None:
    done = call(COPIER, "copy", "--defaults", "--vcs-ref", "HEAD", source, tmp_path / "project", cwd=tmp_path)
    assert done.returncode == 0
    steps = ["git init", "make setup", "source .venv/bin/activate", "make demo", "make test"]
    places = [(done.stdout + done.stderr).index(step) for step in steps]
    assert places == sorted(places)
    assert "Ctrl-U" in done.stdout + done.stderr
    assert str(tmp_path / "project") in done.stdout + done.stderr
