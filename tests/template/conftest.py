"""A repository with the working tree as it is now, and `copier copy`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from template_support import COPIER, ROOT, Answers, Copy, Done, call, commit, git


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree, committed in a repository whose path contains a space."""
    if not COPIER.exists():
        pytest.skip("make setup installs copier")
    folder = tmp_path_factory.mktemp("source") / "template source"
    for name in git("ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT).split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    git("init", "--quiet", "--initial-branch=main", cwd=folder)
    commit(folder, "source")
    return folder


@pytest.fixture(scope="session")
def copy() -> Copy:
    """`copier copy` with these answers, and the defaults for the others."""

    def run(source: Path | str, target: Path, answers: Answers | None = None, *options: str, **variables: str) -> Done:
        data = [word for name, value in (answers or {}).items() for word in ("--data", f"{name}={value}")]
        words = ["copy", "--defaults", "--quiet", *(options or ("--vcs-ref", "HEAD")), *data, str(source), str(target)]
        return call(COPIER, *words, cwd=target.parent, **variables)

    return run
