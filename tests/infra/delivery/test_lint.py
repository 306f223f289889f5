"""`make lint` reads more than Python: each kind of file is refused when it is wrong, and none has to be there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from delivery_support import ROOT

WRONG = {
    ".github/workflows/bad.yml": (
        "on: push\npermissions: {}\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
        "      - uses: actions/checkout@v4\n      - run: echo ${{ github.event.pull_request.title }}\n"
    ),
    ".github/dependabot.yml": "version: 2\nupdates:\n  - package-ecosystem: pip\n    schedule: weekly\n",
    ".gitlab-ci.yml": "test:\n  script: [make test]\n  tiemout: 5m\n  retry: often\n",
    "infra/images/a.Dockerfile": "FROM python\nRUN cd /tmp\n",
    "infra/compose/compose.yaml": "services:\n  a:\n    image: b\n    restrat: always\n",
    "infra/observability/rules/bad.yml": "groups:\n  - name: a\n    rules:\n      - alert: A\n        expr: sum(up\n",
    "infra/compose/prometheus/prometheus.yml": "scrape_configs:\n  - job_nam: a\n",
    "infra/local/bad.sh": "#!/usr/bin/env bash\nrm -rf $1/*\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the linters and nothing to lint."""
    folder = tmp_path / "project"
    for name in ("lint.sh", "schemas.py"):
        target = folder / "infra" / "delivery" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / "infra" / "delivery" / name, target)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([folder / "infra" / "delivery" / "lint.sh"], capture_output=True, text=True, check=False)


def test_a_project_without_any_of_these_files_passes(project: Path) -> None:
    done = lint(project)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_kind_of_file_is_read(project: Path) -> None:
    for name, content in WRONG.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(content)
    shutil.copy2(ROOT / ".github" / "zizmor.yml", project / ".github" / "zizmor.yml")
    done = lint(project)
    assert done.returncode == 1
    parts = {part.split("\n", 1)[0]: part for part in done.stderr.split("lint: ")[1:]}
    ours = {"rules", "prometheus"} if shutil.which("promtool") else set()
    assert {*parts} == {"actionlint", "zizmor", "schemas", "hadolint", "shellcheck", *ours}
    assert "untrusted" in parts["actionlint"]
    assert "unpinned-uses" in parts["zizmor"]
    for name in (".github/dependabot.yml", ".gitlab-ci.yml", "infra/compose/compose.yaml"):
        assert name in parts["schemas"], parts["schemas"]
    assert "a.Dockerfile" in parts["hadolint"]
    assert "bad.sh" in parts["shellcheck"]
