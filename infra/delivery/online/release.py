"""Release a version of the model step by step, watched, by the same job as `har release`; or take it back.

    python -m infra.delivery.online.release --why "…" [--to VERSION]   the candidate of `make candidate`
    python -m infra.delivery.online.release --why "…" --back           what served before, at once

It goes to the online service of this folder (`make up`, `make site`), or of the folder --site; with --stack to the
containers of `make stack`. Exit status: 0 it serves; 1 it was taken back, and what served before serves; 2 the release
could not begin.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from har.console import console
from har.errors import ReleaseError
from har.jobs import no_receiver
from har.jobs.release import Order, ReleaseReport, release, settle
from har.project import Project, open_project
from har.registry import whoami
from har.release import Releases
from har.settings import load_settings
from infra.delivery._step import BAD, run_step
from infra.delivery.online._placing import place
from infra.delivery.online._sites import await_version
from infra.delivery.online.candidate import Candidate
from infra.delivery.online.smoke import smoke
from infra.serving.processes import Processes
from infra.serving.releasing import surroundings

_ACTORS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN")
_ADDRESS = "http://127.0.0.1:3000"


def release_candidate(project: Project, candidate: Candidate, *, why: str, address: str | None = None) -> int:
    """Release the candidate to the project's online service.

    Args:
        project: whose service it is.
        candidate: of `make candidate`.
        why: for the promotion log.
        address: where clients reach the service; None: as its place says.

    Returns:
        0 if it serves; 1 if it was taken back.

    Raises:
        ReleaseError: another release is under way, the candidate is not registered, or the service does not run.
        ModelError: the candidate is damaged.
    """
    tag = place(project, candidate)
    order = Order(version=candidate.version, tag=tag, who=who(), why=why)
    report = release(project, surroundings(project), order, send=no_receiver)
    tell(report)
    if not report.good:
        return BAD
    where = address or Processes(project.settings).address or _ADDRESS
    if report.result == "at once":
        await_version(where, candidate.version)
    problems = smoke(where, candidate.expected())
    for problem in problems:
        say(f"- {where}: {problem}")
    return BAD if problems else 0


def roll_back(project: Project, *, why: str) -> int:
    """Let what served before serve again; returns 0.

    A release that is under way is aborted; after one that has ended, the former champion is released in one step.

    Raises:
        NoChampionError: no version served before.
        ReleaseError: the service does not run.
    """
    around = surroundings(project)
    releases = Releases(project.settings.path("bentoml"))
    state = releases.state()
    if state is not None and not state.is_over and around.serving is not None:
        with releases.one_hand():
            releases.order(state.release, "abort", who=who(), why=why)
            around.serving.withdraw()
        say(f"Version {state.former} serves everybody.")
        if not releases.is_watched():
            tell(settle(project, around))
        return 0
    move = project.registry.rollback(reason=why, who=who())
    report = release(project, around, Order(version=move.version, back=True, who=who(), why=why))
    tell(report)
    return 0 if report.good else BAD


def who() -> str:
    """Who started the workflow, or this user."""
    return next((os.environ[name] for name in _ACTORS if os.environ.get(name)), None) or whoami()


def say(text: str) -> None:
    """A line for the log of the job."""
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def tell(report: ReleaseReport) -> None:
    """Say how it ended."""
    say(f"{report.result}: {report.sentence}.")
    for note in report.notes:
        say(f"- {note}")


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=int, metavar="VERSION", help="the candidate has to be this version")
    parser.add_argument("--back", action="store_true", help="let what served before serve again")
    parser.add_argument("--why", default=os.environ.get("WHY", ""), help="the reason, for the promotion log")
    parser.add_argument("--site", type=Path, help="the folder whose service it is; by default this project's")
    parser.add_argument("--address", help="of the service; by default its proxy's, or the stack's")
    parser.add_argument("--stack", action="store_true", help="release to the containers of make stack")
    parser.add_argument("--image", help="of the candidate; by default that of make service-image")
    options = parser.parse_args()
    if not options.why.strip():
        raise ReleaseError(
            where="--why", expected="a reason, for the promotion log", got="none", remedy='Give one: WHY="…".'
        )
    if options.stack:
        from infra.delivery.online import _stack_release as boxes
        from infra.delivery.online._gate import Gate

        site = boxes.stack_of(load_settings(options.site), options.image, options.address)
        if options.back:
            return boxes.roll_back(site, why=options.why)
        return boxes.release(site, _candidate(options.to), Gate(), why=options.why)
    project = open_project(options.site)
    if options.back:
        return roll_back(project, why=options.why)
    return release_candidate(project, _candidate(options.to), why=options.why, address=options.address)


def _candidate(expected: int | None) -> Candidate:
    candidate = Candidate.read(load_settings().root)
    if expected not in (None, candidate.version):
        raise ReleaseError(
            where="build/delivery/candidate.json",
            expected=f"version {expected}",
            got=f"version {candidate.version}",
            remedy=f"Package it: make candidate VERSION={expected}.",
        )
    return candidate


if __name__ == "__main__":
    run_step(_main)
