"""The reference of a model version, which is read once in a process."""

from __future__ import annotations

from functools import lru_cache

from har.monitoring.drift import REFERENCE, Reference
from har.monitoring.profiles import Bins
from har.project import Project
from har.registry import Version


def has_reference(version: Version) -> bool:
    """Whether the version was trained with monitoring."""
    return version.has(REFERENCE)


@lru_cache(maxsize=2)
def reference_of_version(project: Project, version: int) -> Reference:
    """A version's reference.

    Raises:
        MonitoringError: its file is missing, or is no reference.
    """
    return Reference.read(project.registry.artifact(version, REFERENCE))


@lru_cache(maxsize=2)
def own_bins(project: Project, version: int) -> Bins | None:
    """In which a version's windows are counted by activity, so that days can be compared with the subject's own.

    None: own histories are switched off, or the version has no level for them.
    """
    if not project.settings.drift.own_history_days or not has_reference(project.registry.version(version)):
        return None
    reference = reference_of_version(project, version)
    return reference.bins if reference.own else None
