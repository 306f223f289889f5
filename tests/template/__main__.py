"""Generate a project for each set of answers, with its own environment, and run `make demo`, `test`, `lint` and `docs`.

    python -m tests.template [NAME …] [--folder F]

For a release: a project takes up to half an hour on two cores. Prints a line per command, and exits with status 1 if a
command failed. The logs are written beside the projects.
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
    """Generate the projects and run the commands; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="sets of answers; default: all")
    parser.add_argument("--folder", type=Path, help="folder of the projects and logs; default: a new temporary folder")
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
