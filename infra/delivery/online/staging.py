"""Serve the candidate apart from everything else, ask it what it must know, and compare its API with the project's.

    python -m infra.delivery.online.staging

The image of `make service-image` runs in a container; without one, the bento runs as a process.

Exit status: 0 as expected, 1 not, 2 there is no candidate.
"""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager

from har.console import console
from har.errors import PackagingError, ReleaseError
from har.files import temporary_folder
from har.settings import load_settings
from infra.bentoml.bentos import ProjectBentos
from infra.delivery._step import BAD, run_step
from infra.delivery.online._sites import Containers
from infra.delivery.online.candidate import Candidate
from infra.delivery.online.service_image import Image
from infra.delivery.online.smoke import smoke


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    settings = load_settings()
    candidate, image = Candidate.read(settings.root), Image.read(settings.root)
    with temporary_folder("staging") as folder:
        running: AbstractContextManager[str]
        if image is not None:
            box = Containers(settings.root, image.name, image.engine, "")
            what = box.place(candidate)
            running = box.beside(what)
        else:
            what = candidate.online
            apart = {"HAR_PATHS__JOURNAL": str(folder / "journal"), "TMPDIR": str(folder)}
            running = ProjectBentos(settings.root, candidate.store).serving(what, apart)
        try:
            with running as address:
                problems = smoke(address, candidate.expected(), contract=True)
        except (PackagingError, ReleaseError) as error:
            problems = [str(error)]
    for problem in problems:
        console.print(f"{what}: {problem}", markup=False, highlight=False, soft_wrap=True)
    if not problems:
        how = "as a process" if image is None else "in a container"
        console.print(f"{what}, {how}, serves version {candidate.version} as registered.", highlight=False)
    return BAD if problems else 0


if __name__ == "__main__":
    run_step(_main)
