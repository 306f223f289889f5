"""Training a version again from its recorded commit, in a real repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests_support import example_recipe

from har.errors import ReproductionError, UnknownVersionError
from har.jobs.reproduce import reproduce
from har.registry import GitState, git_state

EXPERIMENT = """
import json, os, sys
from pathlib import Path
recipe = json.loads(Path(sys.argv[1]).read_text())
out = Path(sys.argv[2])
assert not [name for name in os.environ if name.startswith("HAR_")], "HAR_ variables reached the training"
assert Path.cwd() == Path(__file__).parents[2], "runs in its own source tree"
{extra}
metrics = {{"accuracy": {accuracy}, "seed": recipe["seed"], "latency_us_p50": 99.0}}
(out / "metrics.json").write_text(json.dumps(metrics))
(out / "model.onnx").write_bytes(b"model")
(Path(os.environ["SEEN"])).write_text(json.dumps(recipe))
"""


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(root), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write_experiment(root: Path, accuracy: float, extra: str = "") -> None:
    source = root / "src" / "har"
    source.mkdir(parents=True, exist_ok=True)
    (source / "__init__.py").write_text("")
    (source / "experiment.py").write_text(EXPERIMENT.format(accuracy=accuracy, extra=extra))


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the training leaves the recipe that it read."""
    path = tmp_path / "seen.json"
    monkeypatch.setenv("SEEN", str(path))
    monkeypatch.setenv("HAR_TRAINING__EPOCHS", "1")
    return path


@pytest.fixture
def project(tmp_path: Path, seen: Path) -> Path:
    """A repository whose first commit trains to 0.875; its source has moved on since."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q")
    write_experiment(root, 0.875)
    git(root, "add", ".")
    git(root, "commit", "-qm", "as trained")
    write_experiment(root, 0.5)
    git(root, "commit", "-qam", "another recipe")
    return root


@pytest.fixture
def add(register, project):
    """Register what the project's first commit trained."""

    def version(metrics=None, **recipe):
        recipe = {"git_commit": git(project, "rev-parse", "HEAD~1"), "seed": 3, "lake": "/gone", **recipe}
        metrics = metrics or {"accuracy": 0.875, "seed": 3.0, "latency_us_p50": 57.0}
        return register(metrics=metrics, recipe=example_recipe(**recipe))

    return version


def worktrees(root: Path) -> int:
    return len(git(root, "worktree", "list").splitlines())


def test_the_recorded_commits_code_trains_and_agrees(registry, project, add, seen):
    result = reproduce(registry, add(), root=project, lake=project / "lake")
    assert result.equal
    assert [(row.metric, row.recorded, row.reproduced, row.equal) for row in result.rows] == [
        ("accuracy", 0.875, 0.875, True),
        ("seed", 3.0, 3.0, True),
    ]
    assert result.notes == ()
    assert result.commit == git(project, "rev-parse", "HEAD~1")
    assert f'"lake": "{project / "lake"}"' in seen.read_text()
    assert worktrees(project) == 1
    assert git(project, "status", "--porcelain") == ""


def test_a_difference_is_reported_not_raised(registry, project, add):
    head = git(project, "rev-parse", "HEAD")
    result = reproduce(registry, add(git_commit=head), root=project, lake=project)
    assert not result.equal
    assert [(row.metric, row.equal) for row in result.rows] == [("accuracy", False), ("seed", True)]


@pytest.mark.parametrize(("shift", "equal"), [(9e-7, True), (2e-6, False)])
def test_equal_means_within_the_tolerance(registry, project, add, shift, equal):
    number = add(metrics={"accuracy": 0.875 + shift, "seed": 3.0})
    assert reproduce(registry, number, root=project, lake=project).equal is equal


def test_a_metric_that_one_side_lacks_is_a_difference(registry, project, add):
    result = reproduce(registry, add(metrics={"accuracy": 0.875, "recall/PEN": 0.9}), root=project, lake=project)
    assert [(row.metric, row.recorded, row.reproduced, row.equal) for row in result.rows] == [
        ("accuracy", 0.875, 0.875, True),
        ("recall/PEN", 0.9, None, False),
        ("seed", None, 3.0, False),
    ]


def test_a_version_from_a_dirty_tree_goes_on_with_a_note(registry, project, add):
    result = reproduce(registry, add(git_dirty=True), root=project, lake=project)
    assert result.equal
    assert "uncommitted changes" in result.notes[0]


def test_without_a_commit_the_current_source_runs_and_it_says_so(registry, project, register):
    number = register(metrics={"accuracy": 0.5}, recipe=example_recipe(seed=3))
    result = reproduce(registry, number, root=project, lake=project)
    assert result.commit == ""
    assert result.rows[0].reproduced == 0.5
    assert "No commit was recorded" in result.notes[0]


def test_a_commit_that_a_shallow_clone_lacks_is_named(registry, project, add, tmp_path):
    number = add()
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", project.as_uri(), str(shallow))
    commit = git(project, "rev-parse", "HEAD~1")
    with pytest.raises(ReproductionError, match=rf"commit {commit}.*unshallow"):
        reproduce(registry, number, root=shallow, lake=project)


def test_a_folder_without_repository_is_named(registry, project, add, tmp_path):
    number = add()
    with pytest.raises(ReproductionError, match="no repository"):
        reproduce(registry, number, root=registry.folder, lake=project)


def test_a_failed_training_shows_its_last_words_and_leaves_no_worktree(registry, project, add):
    write_experiment(project, 0.5, extra="raise SystemExit('samples@7 was vacuumed')")
    git(project, "commit", "-qam", "broken")
    number = add(git_commit=git(project, "rev-parse", "HEAD"))
    with pytest.raises(ReproductionError, match=r"exit status 1(.|\n)*samples@7 was vacuumed"):
        reproduce(registry, number, root=project, lake=project)
    assert worktrees(project) == 1


def test_an_unknown_version_starts_nothing(registry, project):
    with pytest.raises(UnknownVersionError):
        reproduce(registry, 4, root=project, lake=project)


def test_a_project_in_a_subfolder_of_its_repository(registry, register, tmp_path, seen):
    project = tmp_path / "repository" / "projects" / "wrist"
    project.mkdir(parents=True)
    write_experiment(project, 0.75)
    git(project, "init", "-q", str(tmp_path / "repository"))
    git(project, "add", ".")
    git(project, "commit", "-qm", "as trained")
    recipe = example_recipe(git_commit=git(project, "rev-parse", "HEAD"), seed=3)
    number = register(metrics={"accuracy": 0.75, "seed": 3.0}, recipe=recipe)
    assert reproduce(registry, number, root=project, lake=project).equal


def test_git_state_of_clean_dirty_and_absent_repositories(project, tmp_path, monkeypatch):
    head = git(project, "rev-parse", "HEAD")
    assert (git_state(project).commit, git_state(project).dirty) == (head, False)
    (project / "new.py").write_text("")
    assert git_state(project / "src").dirty
    empty = tmp_path / "empty"
    empty.mkdir()
    assert git_state(empty).commit == ""
    git(empty, "init", "-q")
    assert git_state(empty).commit == ""
    assert git_state(tmp_path / "absent").commit == ""
    monkeypatch.setenv("PATH", os.fspath(empty))
    assert git_state(project).commit == ""


def test_without_a_repository_a_file_says_what_an_image_was_built_from(tmp_path):
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "har.toml").write_text("")
    for written, state in (
        (f"{'a1' * 20}\n", GitState("a1" * 20, False)),
        (f"{'a1' * 20}-dirty\n", GitState("a1" * 20, True)),
        ("\n", GitState("", False)),
        ("main\n", GitState("", False)),
    ):
        (project / "COMMIT").write_text(written)
        assert git_state(project / "src") == state
        assert state.recorded in written.strip()
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "as trained")
    (project / "COMMIT").write_text("a1" * 20 + "\n")
    assert git_state(project) == GitState(git(project, "rev-parse", "HEAD"), True), "a repository knows better"


def test_only_the_projects_own_files_make_its_code_dirty(tmp_path):
    project = tmp_path / "repository" / "projects" / "wrist"
    (project / "src").mkdir(parents=True)
    for path, text in (("har.toml", ""), ("src/code.py", "1"), (".gitignore", "/data/\n"), ("../other.py", "1")):
        (project / path).write_text(text)
    git(project, "init", "-q", str(tmp_path / "repository"))
    git(project, "add", str(tmp_path / "repository"))
    git(project, "commit", "-qm", "as trained")
    trained = git(project, "rev-parse", "HEAD")
    (project / "../other.py").write_text("2")
    (project / "data").mkdir()
    (project / "data/recording.csv").write_text("")
    assert git_state(project) == GitState(trained, False)
    git(project, "commit", "-qam", "somebody else's work")
    assert git_state(project / "src") == GitState(trained, False)
    (project / "src/new.py").write_text("")
    assert git_state(project) == GitState(trained, True)
