"""Release an image to the box of the stack in containers: beside the stable one, through a gate, in its place, watched.

All requests go from one of the two boxes to the other at once, and none is lost. Steps with shares are those of
`infra.delivery.online.release` for processes; `infra.compose.serving.StackServing` takes them for boxes as well.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from har.console import console
from har.errors import HarError, ModelError, PackagingError, ReleaseError, ServerError
from har.settings import Settings
from infra.compose.stack import Stack
from infra.delivery._step import BAD
from infra.delivery.online._gate import Gate, Traffic, compare, watch
from infra.delivery.online._history import PROMOTED, REFUSED, ROLLED_BACK, SWITCHING
from infra.delivery.online._sites import Containers, Site, await_version, number_of
from infra.delivery.online.candidate import Candidate
from infra.delivery.online.service_image import Image
from infra.delivery.online.smoke import await_ready, client, smoke


def stack_of(settings: Settings, image: str | None = None, address: str | None = None) -> Containers:
    """The stack of the project's folder.

    Raises:
        ServerError: there is none.
    """
    stack = Stack.open(settings.root, settings.project.name)
    chosen = stack.state.chosen
    where = address or f"http://{stack.state.plain_host}:{chosen['STACK_ONLINE_PORT']}"
    built = Image.read(settings.root)
    return Containers(settings.root, image or (built and built.name), stack.engine.name, where)


def release(site: Site, candidate: Candidate, gate: Gate, *, why: str) -> int:
    """Release the candidate to the site.

    Returns:
        0 if it serves; 1 if it was refused, or taken back.

    Raises:
        ReleaseError: another release is under way, or the candidate is not there.
    """
    with site.history.one_at_a_time():
        before, expected = site.serving(), candidate.expected()
        try:
            after = site.place(candidate)
        except ModelError as error:
            site.history.add(REFUSED, before=before, after=candidate.online, why=why, problems=[str(error)])
            return tell(f"{candidate.online} is refused, {before or 'nothing'} goes on serving", [str(error)])
        stable = site.address if before and await_ready_quickly(site.address) else None
        if before and not stable:
            say(f"Nothing answers at {site.address}: {after} is compared with no stable service.")
        say(f"{after} is started beside {before or 'nothing'}.")
        figures: dict[str, Any] = {}
        try:
            with site.beside(after) as address:
                problems = smoke(address, expected)
                if not problems:
                    problems, figures = compare(address, stable, expected, gate)
        except (PackagingError, ServerError) as error:  # it does not start
            problems = [str(error)]
        if problems:
            site.history.add(REFUSED, before=before, after=after, why=why, problems=problems, figures=figures)
            return tell(f"{after} is refused, {before or 'nothing'} goes on serving", problems)
        say(f"{after} passed beside {before or 'nothing'}: {brief(figures)}")
        if before == after:
            say(f"{after} serves already.")
            return 0
        usual = _traffic(site.address) if stable else Traffic()
        site.history.add(SWITCHING, before=before, after=after, why=why, figures=figures)
        with ExitStack() as undo:
            # Also if this process is interrupted; after a kill, make rollback does it.
            undo.callback(back, site, after, before, "the release was interrupted")
            try:
                site.switch(after)
                problems = smoke(site.address, expected)
                if not problems:
                    problems, figures = watch(site.address, usual, expected, gate)
            except HarError as error:
                problems, figures = [str(error)], {}
            undo.pop_all()
        if not problems:
            site.history.add(PROMOTED, before=before, after=after, why=why, figures=figures)
            say(f"{after} serves: {brief(figures)}")
            return 0
        back(site, after, before, problems[0])
        return tell(f"{after} was taken back, {before or 'and nothing'} serves", problems)


def roll_back(site: Site, *, why: str) -> int:
    """Let what served before serve again, without a gate; returns 0.

    Raises:
        ReleaseError: nothing is known to have served before, or it does not start.
    """
    with site.history.one_at_a_time():
        now = site.serving()
        before = site.history.before(now)
        back(site, now, before, why)
        say(f"{before} serves again.")
        return 0


def back(site: Site, now: str, before: str, why: str) -> None:
    """Switch from `now` back to `before`, and note it.

    Raises:
        ReleaseError: there is nothing before, or it does not serve.
    """
    if not before:
        raise ReleaseError(
            where=now,
            problem=f"must not serve ({why}), and nothing served before it",
            remedy="Release another version: make candidate VERSION=…, then make release.",
        )
    if site.serving() != before:
        site.switch(before)
    else:
        await_version(site.address, number_of(before))
    site.history.add(ROLLED_BACK, before=now, after=before, why=why)


def await_ready_quickly(address: str) -> bool:
    """Whether a service answers at the address."""
    with client(address) as service:
        return not await_ready(service, 1.0)


def _traffic(address: str) -> Traffic:
    with client(address) as service:
        return Traffic.of(service)


def brief(figures: dict[str, Any]) -> str:
    """The figures in a line."""
    parts = []
    for name, values in figures.items():
        if "asked" in values:
            median, slow = values["median_s"], values["p95_s"]
            times = f", median {median * 1000:.0f} ms, p95 {slow * 1000:.0f} ms" if median is not None else ""
            parts.append(f"{name} {values['asked']} asked, {values['late']} late{times}")
        else:
            parts.append(f"{name} {', '.join(f'{value:g} {key}' for key, value in values.items())}")
    return "; ".join(parts)


def tell(text: str, problems: list[str]) -> int:
    """Say that it went wrong, and why; returns the exit status."""
    say(f"{text}:")
    for problem in problems:
        say(f"- {problem}")
    return BAD


def say(text: str) -> None:
    """A line for the log of the job."""
    console.print(text, highlight=False, soft_wrap=True, markup=False)
