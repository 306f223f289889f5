"""Keep the lake's tables small and quick to open: after each job that wrote to them, what is due; see `har.lake`."""

from __future__ import annotations

import re

from rich.markup import escape

from har.console import console
from har.errors import HarError
from har.lake import Maintained, maintain
from har.project import Project

_DATA = re.compile(r"(samples|labels)@(\d+)")


def keep_up(project: Project, *, now: bool = False) -> list[Maintained]:
    """Write checkpoints and remove old files where they are due, by `[maintenance]`.

    Versions that registered models were trained on stay, so that `har reproduce` can read them.

    Args:
        project: its lake and registry.
        now: for every table, due or not.

    Raises:
        LakeError: the disk or the store refuses.
        RegistryError: the registry cannot be read, so nobody knows which versions must stay; nothing was removed.
    """
    settings = project.settings.maintenance
    return maintain(
        project.lake,
        every=settings.checkpoint_commits,
        keep_days=settings.keep_versions_days,
        kept=lambda: trained_on(project),
        now=now,
    )


def upkeep(project: Project) -> None:
    """The last step of a job: what is due. The job's work is done, so a failure is told and met again by the next."""
    try:
        keep_up(project)
    except HarError as error:
        console.print(f"[yellow]The tables' upkeep waits:[/] {escape(str(error))}", highlight=False, soft_wrap=True)


def trained_on(project: Project) -> dict[str, set[int]]:
    """The versions of tables that registered models were trained on, by table."""
    kept: dict[str, set[int]] = {"samples": set(), "labels": set(), "recordings": set()}
    for version in project.registry.versions():
        for table, number in _DATA.findall(version.tags.get("data_version", "")):
            kept[table].add(int(number))
        recordings = version.tags.get("recordings_version", "")
        if recordings.isdecimal():
            kept["recordings"].add(int(recordings))
    return kept
