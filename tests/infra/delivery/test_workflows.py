"""The workflow files themselves: what each step calls, who may do what, and the GitLab twin beside each of them."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from delivery_support import ROOT, WORKFLOWS, gitlab_files, make_targets

PIPELINES = ("offline", "online")
PINNED = re.compile(r"^\s*(?:- )?uses:\s*(\S+)(?:\s+# (v\d+\.\d+\.\d+))?\s*$")
COMMIT = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
SCOPES = {"contents": "read", "pull-requests": "write", "pages": "write", "id-token": "write", "packages": "write"}


@cache
def github(name: str) -> dict[Any, Any]:
    """A workflow by its file name; YAML reads the key `on` as True."""
    path = ROOT / WORKFLOWS / name
    if not path.is_file():
        pytest.skip(f"this project has no {WORKFLOWS / name}")
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


@cache
def twins() -> dict[str, dict[str, Any]]:
    """GitLab's files by name."""
    files = gitlab_files(ROOT)
    if not files:
        pytest.skip("this project has no GitLab pipelines")
    return {name: yaml.safe_load(content) for name, content in files.items()}


def workflow_files() -> list[Path]:
    """Workflows and the actions that they share."""
    return [path for folder in ("workflows", "actions") for path in sorted((ROOT / ".github" / folder).rglob("*.yml"))]


@cache
def targets() -> set[str]:
    """Every make target that is declared phony: all that people type."""
    printed = subprocess.run(["make", "-pnq", "help"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return {word for line in re.findall(r"^\.PHONY: (.*)$", printed, re.MULTILINE) for word in line.split()}


@pytest.mark.parametrize("path", workflow_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_action_names_a_commit_and_its_version(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if "uses:" not in line or line.lstrip().startswith("#"):
            continue
        found = PINNED.match(line)
        assert found, line
        if not found[1].startswith("./"):
            assert COMMIT.fullmatch(found[1]), line
            assert found[2], f"no version beside the commit: {line}"


def test_an_action_has_the_same_commit_everywhere() -> None:
    pins: dict[str, set[tuple[str, str]]] = {}
    for path in workflow_files():
        for name, commit, version in re.findall(r"uses: ([\w./-]+)@(\w+) # (\S+)", path.read_text(encoding="utf-8")):
            pins.setdefault(name, set()).add((commit, version))
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", sorted((ROOT / WORKFLOWS).glob("*.yml")), ids=lambda path: path.name)
def test_a_workflow_may_nothing_and_each_job_what_it_needs(path: Path) -> None:
    workflow = github(path.name)
    assert workflow["permissions"] == {}
    assert "concurrency" in workflow
    for name, job in workflow["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 360, name
        assert job["permissions"].items() <= SCOPES.items(), name
        for step in job["steps"]:
            if str(step.get("uses", "")).startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_step_is_a_make_target_that_exists(pipeline: str) -> None:
    for name, job in github(f"{pipeline}-ci-cd.yml")["jobs"].items():
        for step in job["steps"]:
            if "run" in step:
                called = make_targets(step["run"])
                assert called, f"{name}: {step['run']}"
                assert set(called) <= targets(), f"{name}: {step['run']}"
            else:
                assert "uses" in step, name


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_what_delivers_runs_on_a_machine_of_ones_own_by_default(pipeline: str) -> None:
    jobs = github(f"{pipeline}-ci-cd.yml")["jobs"]
    delivering = {name: job for name, job in jobs.items() if job.get("environment") not in (None, "github-pages")}
    assert delivering
    for name, job in delivering.items():
        assert job["runs-on"] == "${{ vars.CD_RUNNER || 'self-hosted' }}", name
        assert "github.event_name != 'pull_request'" in job["if"], name
        assert "github.ref == 'refs/heads/main'" in job["if"], name
        assert job["concurrency"]["cancel-in-progress"] is False, name


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_gitlab_twin_has_the_same_steps_in_the_same_order(pipeline: str) -> None:
    jobs = github(f"{pipeline}-ci-cd.yml")["jobs"]
    twin = twins()[f".gitlab/{pipeline}-ci-cd.yml"]
    ours = {
        name: [target for step in job["steps"] for target in make_targets(step.get("run", ""))]
        for name, job in jobs.items()
    }
    theirs = {
        name.removeprefix(f"{pipeline}:"): [target for line in job["script"] for target in make_targets(line)]
        for name, job in twin.items()
    }
    assert theirs == ours
    assert [*theirs] == [*ours]
    limits = {name.removeprefix(f"{pipeline}:"): job["timeout"] for name, job in twin.items()}
    minutes = {name: int(text[:-1]) * (60 if text.endswith("h") else 1) for name, text in limits.items()}
    assert minutes == {name: job["timeout-minutes"] for name, job in jobs.items()}


def test_the_two_pipelines_run_every_test_once() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    makefile = (ROOT / "infra" / "delivery" / "targets.mk").read_text(encoding="utf-8")
    online = re.search(r"^ONLINE_TESTS := \$\(wildcard (.*)\)$", makefile, re.MULTILINE)
    assert online
    chosen = online[1].split()
    assert {Path(name).name for name in chosen} <= folders
    shown = {
        name: subprocess.run(
            ["make", "--no-print-directory", "-n", name], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\n")[-2]
        for name in ("test-offline", "test-online")
    }
    assert shown["test-online"].split()[-len(chosen) :] == chosen
    assert shown["test-offline"].split()[-len(chosen) :] == [f"--ignore={name}" for name in chosen]


def test_what_delivers_waits_for_every_check() -> None:
    for pipeline in PIPELINES:
        jobs = github(f"{pipeline}-ci-cd.yml")["jobs"]
        before = {name for name, job in jobs.items() if "needs" not in job and "if" not in job}
        assert set(jobs["deliver"]["needs"]) == before


def test_every_folder_of_dependabot_exists() -> None:
    path = ROOT / ".github" / "dependabot.yml"
    if not path.is_file():
        pytest.skip("this project has no dependabot")
    for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["updates"]:
        for folder in entry.get("directories", [entry.get("directory")]):
            assert (ROOT / folder.removeprefix("/")).is_dir(), folder


def test_no_secret_lives_long() -> None:
    """Secrets belong to an environment that a person protects; the login of the Prefect server is the only one."""
    named = {
        secret
        for path in workflow_files()
        for secret in re.findall(r"secrets\.(\w+)", path.read_text(encoding="utf-8"))
    }
    assert named <= {"PREFECT_API_AUTH_STRING"}
