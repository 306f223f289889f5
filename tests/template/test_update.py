"""`copier update` from one tag to the next: the user's work is merged, never lost, and what collides is marked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from template_support import COPIER, Copy, Done, call, commit, git

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
    _in_first_line(folder / "Makefile", "by the template")
    git("mv", str(OLD), str(NEW), cwd=folder)
    git("rm", "--quiet", "docs/explanation/features.md", cwd=folder)
    (folder / "src" / "har" / "brought.py").write_text('"""New in the second version."""\n')
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
    """The project with its users' own work in it."""
    folder = tmp_path / "project"
    shutil.copytree(copied, folder, symlinks=True)
    settings = folder / "har.toml"
    settings.write_text(settings.read_text().replace("\n[training]\n", "\n[training]\nepochs = 12\n"))
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nOur own paragraph.\n")
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
    assert (project / "src" / "har" / "ours.py").is_file()
    assert (project / "src" / "har" / "brought.py").is_file()
    assert not (project / "docs" / "explanation" / "drift.md").exists(), "we removed it"
    assert not (project / "docs" / "explanation" / "features.md").exists(), "the template removed it"
    assert (project / NEW).is_file()
    assert not (project / OLD).exists()
    assert not (project / ".github").exists()
    assert not list(project.rglob("*.rej"))


def test_the_latest_version_comes_and_our_work_stays(project: Path) -> None:
    done = update(project)
    assert done.returncode == 0, done.stderr
    assert_both_sides_are_there(project)
    assert not git("diff", "--name-only", "--diff-filter=U", cwd=project)


def test_a_line_that_both_changed_is_marked_as_a_conflict(project: Path) -> None:
    _in_first_line(project / "Makefile", "by us")
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


def test_git_carries_our_changes_into_a_renamed_file(project: Path) -> None:
    added = git("log", "--format=%H", "--diff-filter=A", "--", ".copier-answers.yml", cwd=project)
    (project / OLD).write_text(OUR_LINE + (project / OLD).read_text().split("\n", 1)[1])
    commit(project, "our words")
    # The handbook's way: a branch that holds what copier rendered and nothing else.
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


def test_copier_alone_leaves_our_changes_to_a_renamed_file_in_the_last_commit(project: Path) -> None:
    (project / OLD).write_text(OUR_LINE + (project / OLD).read_text().split("\n", 1)[1])
    commit(project, "our words")
    done = update(project)
    assert done.returncode == 0, done.stderr
    assert_both_sides_are_there(project)
    assert not (project / NEW).read_text().startswith(OUR_LINE)
    assert str(OLD) in git("diff", "--name-only", "--diff-filter=D", cwd=project).split()
    assert git("show", f"HEAD:{OLD}", cwd=project).startswith(OUR_LINE)


def test_an_answer_can_be_changed_later(project: Path) -> None:
    done = update(project, "--vcs-ref", ":current:", "--data", "ci=gitlab")
    assert done.returncode == 0, done.stderr
    assert version(project) == "v0.1.0"
    assert (project / ".gitlab-ci.yml").is_file()
    assert "\nepochs = 12\n" in (project / "har.toml").read_text()


def test_work_that_is_not_committed_is_not_mixed_with_an_update(project: Path) -> None:
    (project / "har.toml").write_text((project / "har.toml").read_text() + "\n# half a thought\n")
    done = update(project)
    assert done.returncode != 0
    assert "dirty" in done.stderr
    assert version(project) == "v0.1.0"
    assert (project / "har.toml").read_text().endswith("# half a thought\n")


def _in_first_line(path: Path, words: str) -> None:
    first, rest = path.read_text().split("\n", 1)
    path.write_text(f"{first} {words}\n{rest}")
