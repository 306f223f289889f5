"""Every set of answers as its users have it: a project with an environment of its own, `make demo`, `test` and `lint`.

    python -m tests.template [NAME …] [--folder F]

Takes half an hour a project on two cores, for a release rather than for every commit; prints a line per command, and
ends with status 1 if one failed. Logs lie beside the projects.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.support.template_support import ANSWERS, COPIER, ROOT, commit, git

TARGETS = ("demo", "test", "lint", "docs")


def main() -> int:
    """Scaffold and run; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="sets of answers; all by default")
    parser.add_argument("--folder", type=Path, help="where projects and logs go; by default a new temporary folder")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="har-template-"))
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    failed = False
    for name in options.names or ANSWERS:
        project = folder / name
        answers = dict(ANSWERS[name], python_version=f"{sys.version_info.major}.{sys.version_info.minor}")
        data = [word for key, value in answers.items() for word in ("--data", f"{key}={value}")]
        command = [COPIER, "copy", "--defaults", "--quiet", "--overwrite", "--vcs-ref", "HEAD", *data, ROOT, project]
        subprocess.run(command, check=True)
        git("init", "--quiet", cwd=project)
        commit(project, "As copied")
        for target in TARGETS:
            log = folder / f"{name}.{target}.log"
            began = time.monotonic()
            with log.open("wb") as output:
                status = subprocess.run(["make", target], cwd=project, stdout=output, stderr=output).returncode
            failed |= status != 0
            verdict = "passed" if status == 0 else f"failed ({status})"
            console.print(f"{name}: make {target} {verdict}, {time.monotonic() - began:.0f} s, {log}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
