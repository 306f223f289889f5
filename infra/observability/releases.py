"""The page of a release, with what its versions answered as Prometheus counted it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from har.errors import ServerError
from har.pages import Answers, write_release
from har.project import Project
from har.release import Record, Releases
from infra.observability.query import Prometheus, Series, noted_address

_MARGIN_S = 60.0
"""Rates are over a minute: the course goes on for so long after the end."""
_POINTS = 300
_REQUESTS, _FAILED = "version:har_requests:rate1m", "version:har_errors:rate1m"


def write_page(project: Project, records: Sequence[Record]) -> Path:
    """Write the page of the release with these records, and list it.

    Args:
        project: its folder of reports, and its Prometheus.
        records: of one release, oldest first; at least one.
    """
    name = project.settings.project.name
    return write_release(project.settings.path("reports"), records, _answers(project, records), title=name)


def write_pages(project: Project) -> list[Path]:
    """Write the pages of all releases that are still known."""
    found: dict[str, list[Record]] = {}
    for record in Releases(project.settings.path("bentoml")).records():
        found.setdefault(record.release, []).append(record)
    return [write_page(project, records) for records in found.values()]


def _answers(project: Project, records: Sequence[Record]) -> list[Answers]:
    address = noted_address(project.settings)
    if not address:
        return []
    begin, end = records[0].when - _MARGIN_S / 2, min(time.time(), records[-1].when + _MARGIN_S)
    versions = {records[0].version, records[0].former}
    with closing(Prometheus(address)) as prometheus:
        try:
            asked, failed = (
                _by_version(prometheus.over(promql, end - begin, end=end, points=_POINTS))
                for promql in (_REQUESTS, _FAILED)
            )
        except ServerError:  # the page is about the release; without Prometheus it says that nothing was counted
            return []
    return [
        Answers(version, tuple((when, value, failed.get(version, {}).get(when, 0.0)) for when, value in course.items()))
        for version, course in sorted(asked.items())
        if version in versions
    ]


def _by_version(series: Sequence[Series]) -> dict[int, dict[float, float]]:
    return {
        int(one.labels["version"]): {when: value for when, value in one.points if value == value}
        for one in series
        if one.labels.get("version", "").isdigit()
    }
