"""`copier update` from one tag to the next: the user's changes are merged, never lost, and conflicts are marked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from template_support import COPIER, Copy, Done, call, commit, git

pytestmark = pytest.mark.stack

ANSWERS = {"project_name": "wrist-har", "ci": "none"}
OLD, NEW = Path("src/har/files.py"), Path("src/har/disk.py")
SENTENCE = "A sentence that the second version brought."
OUR_LINE = '"""Our own words about files."""\n'


@pytest.fixture(scope="module")
def upstream(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template at v0.1.0, and a v0.2.0 that adds, changes, renames and removes."""
    folder = tmp_path_factory.mktemp("upstream") / "template"
    git("clone", "--quiet", str(source), str(folder), cwd=source)
    git("tag", "v0.1.0", cwd=folder)
    readme = folder / "template" / "README.md.jinja"
    title, rest = readme.read_text().split("\n", 1)
    readme.write_text(f"{title}\n\n{SENTENCE}\n{rest}")
    _append_to_first_line(folder / "Makefile", "by the template")
    git("mv", str(OLD), str(NEW), cwd=folder)
    git("rm", "--quiet", "docs/explanation/features.md", cwd=folder)
    (folder / "src" / "har" / "brought.py").write_text('"""New in the second version."""\n')
    changes = folder / "CHANGELOG.md"
    changes.write_text(changes.read_text() + SENTENCE)
    started = folder / "template" / "CHANGELOG.md.jinja"
    started.write_text(started.read_text() + SENTENCE)
    commit(folder, "second version")
    git("tag", "v0.2.0", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def copied(upstream: Path, copy: Copy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the first version, committed as its users do."""
    folder = tmp_path_factory.mktemp("copied") / "project"
    done = copy(upstream, folder, ANSWERS, "--vcs-ref", "v0.1.0")
    assert done.returncode == 0, done.stderr
    git("init", "--quiet", "--initial-branch=main", cwd=folder)
    commit(folder, "as copied")
    return folder


@pytest.fixture
def project(copied: Path, tmp_path: Path) -> Path:
    """The project with changes of its users."""
    folder = tmp_path / "project"
    shutil.copytree(copied, folder, symlinks=True)
    settings = folder / "har.toml"
    settings.write_text(settings.read_text().replace("\n[training]\n", "\n[training]\nepochs = 12\n"))
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nOur own paragraph.\n")
    (folder / "CHANGELOG.md").write_text((folder / "CHANGELOG.md").read_text() + "- Our own change.\n")
    (folder / "src" / "har" / "ours.py").write_text('"""Our own module."""\n')
    (folder / "docs" / "explanation" / "drift.md").unlink()
    commit(folder, "our work")
    return folder


def update(project: Path, *options: str) -> Done:
    return call(COPIER, "update", "--defaults", "--quiet", *options, cwd=project)


def version(project: Path) -> str:
    return str(yaml.safe_load((project / ".copier-answers.yml").read_text())["_commit"])


def assert_both_sides_are_there(project: Path) -> None:
    assert version(project) == "v0.2.0"
    assert "\nepochs = 12\n" in (project / "har.toml").read_text()
    readme = (project / "README.md").read_text()
    assert readme.startswith(f"# wrist-har\n\n{SENTENCE}\n")
    assert readme.endswith("\nOur own paragraph.\n")
    changelog = (project / "CHANGELOG.md").read_text()
    assert changelog.endswith("- The project, generated from har-mlops v0.1.0.\n- Our own change.\n")
    assert (project / "src" / "har" / "ours.py").is_file()
    assert (project / "src" / "har" / "brought.py").is_file()
    assert not (project / "docs" / "explanation" / "drift.md").exists(), "the user removed it"
    assert not (project / "docs" / "explanation" / "features.md").exists(), "the template removed it"
    assert (project / NEW).is_file()
    assert not (project / OLD).exists()
    assert not (project / ".github").exists()
    assert not list(project.rglob("*.rej"))


def test_an_update_brings_the_latest_version_and_keeps_the_users_changes(project: Path) -> None:
    done = update(project)
    assert done.returncode == 0, done.stderr
    assert_both_sides_are_there(project)
    assert not git("diff", "--name-only", "--diff-filter=U", cwd=project)


@pytest.mark.release
def test_a_line_that_both_sides_changed_is_marked_as_a_conflict(project: Path) -> None:
    _append_to_first_line(project / "Makefile", "by us")
    commit(project, "our Makefile")
    done = update(project)
    assert done.returncode == 0, done.stderr
    assert_both_sides_are_there(project)
    assert git("diff", "--name-only", "--diff-filter=U", cwd=project).split() == ["Makefile"]
    ours, theirs = (project / "Makefile").read_text().split("=======\n", 1)
    assert ours.startswith("<<<<<<< before updating\n")
    assert ">>>>>>> after updating\n" in theirs
    assert "by us" in ours
    assert "by the template" in theirs


@pytest.mark.release
def test_git_carries_our_changes_into_a_renamed_file(project: Path) -> None:
    added = git("log", "--format=%H", "--diff-filter=A", "--", ".copier-answers.yml", cwd=project)
    (project / OLD).write_text(OUR_LINE + (project / OLD).read_text().split("\n", 1)[1])
    commit(project, "our words")
    # As in the handbook: a branch that contains only what copier rendered.
    git("branch", "template", added.split()[-1], cwd=project)
    git("switch", "--quiet", "template", cwd=project)
    done = update(project)
    assert done.returncode == 0, done.stderr
    commit(project, "v0.2.0 of the template")
    git("switch", "--quiet", "main", cwd=project)
    git("merge", "--quiet", "--no-edit", "template", cwd=project)
    assert_both_sides_are_there(project)
    assert (project / NEW).read_text().startswith(OUR_LINE)
    assert not git("status", "--porcelain", cwd=project)


@pytest.mark.release
def test_copier_alone_leaves_our_changes_to_a_renamed_file_in_the_last_commit(project: Path) -> None:
    (project / OLD).write_text(OUR_LINE + (project / OLD).read_text().split("\n", 1)[1])
    commit(project, "our words")
    done = update(project)
    assert done.returncode == 0, done.stderr
    assert_both_sides_are_there(project)
    assert not (project / NEW).read_text().startswith(OUR_LINE)
    assert str(OLD) in git("diff", "--name-only", "--diff-filter=D", cwd=project).split()
    assert git("show", f"HEAD:{OLD}", cwd=project).startswith(OUR_LINE)


@pytest.mark.release
def test_answers_can_be_changed_later(project: Path) -> None:
    assert {path.name for path in (project / "tests").iterdir()} == {"smoke"}
    (project / "CHANGELOG.md").unlink()
    commit(project, "no changelog")
    done = update(project, "--vcs-ref", ":current:", "--data", "ci=gitlab", "--data", "tests=full")
    assert done.returncode == 0, done.stderr
    assert version(project) == "v0.1.0"
    assert (project / ".gitlab-ci.yml").is_file()
    assert "\nepochs = 12\n" in (project / "har.toml").read_text()
    assert {"smoke", "support", "bench", "lake"} <= {path.name for path in (project / "tests").iterdir()}
    assert not (project / "tests" / "template").exists()
    assert "bench" in call("make", "help", cwd=project).stdout
    assert 'pythonpath = ["tests/support"]' in (project / "pyproject.toml").read_text()
    assert not (project / "CHANGELOG.md").exists(), "the user removed it"


@pytest.mark.release
def test_the_full_tests_can_be_removed_and_the_users_own_stay(upstream: Path, copy: Copy, tmp_path: Path) -> None:
    project = tmp_path / "project"
    assert copy(upstream, project, ANSWERS | {"tests": "full"}, "--vcs-ref", "v0.1.0").returncode == 0
    own = project / "tests" / "test_ours.py"
    own.write_text("def test_ours() -> None:\n    assert True\n")
    git("init", "--quiet", "--initial-branch=main", cwd=project)
    commit(project, "as copied, and our test")
    done = update(project, "--vcs-ref", ":current:", "--data", "tests=smoke")
    assert done.returncode == 0, done.stderr
    assert {path for path in (project / "tests").rglob("*.py") if "smoke" not in path.parts} == {own}


def test_an_update_requires_that_all_changes_are_committed(project: Path) -> None:
    (project / "har.toml").write_text((project / "har.toml").read_text() + "\n# not committed\n")
    done = update(project)
    assert done.returncode != 0
    assert "dirty" in done.stderr
    assert version(project) == "v0.1.0"
    assert (project / "har.toml").read_text().endswith("# not committed\n")


def _append_to_first_line(path: Path, words: str) -> None:
    first, rest = path.read_text().split("\n", 1)
    path.write_text(f"{first} {words}\n{rest}")
