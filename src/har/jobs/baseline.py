"""Write what is usual for each subject: into the lake, and into the hot store where a project has one."""

from __future__ import annotations

from har.console import console
from har.errors import StateError
from har.project import Project
from har.settings import Settings
from har.streaming.baselines import BaselineReport, update
from har.streaming.state import HOT_FILE, HotStore, open_hot


def baseline(project: Project) -> BaselineReport:
    """Write the baselines of days with newer predictions, and what is known today into the hot store.

    A hot store that is away is said and left: `har stream rebuild` or the next run writes it.
    """
    hot = hot_store_in_use(project.settings)
    try:
        return update(project.lake, project.settings, hot)
    except StateError as error:
        console.print(f"[yellow]The hot store gets no baselines:[/] {error}", highlight=False)
        return update(project.lake, project.settings)
    finally:
        if hot is not None:
            hot.close()


def hot_store_in_use(settings: Settings) -> HotStore | None:
    """The hot store, if it is a server or a file that a consumer or the online service has made."""
    if settings.stream.hot.address or (settings.path("stream") / HOT_FILE).exists():
        return open_hot(settings)
    return None
