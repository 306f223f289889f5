"""The page about one monitored day: its verdict, decisions, distributions, slices and features."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence

from markupsafe import Markup

from har.monitoring.decisions import STARTS_TRAINING, DecisionRow
from har.monitoring.drift import DayReport
from har.pages._render import look, render

_LISTED = 20
"""The tables show this many features and slices at once; the others fold away."""


def render_day(
    report: DayReport,
    decisions: Sequence[DecisionRow],
    *,
    title: str,
    previous: dt.date | None,
    following: dt.date | None,
) -> str:
    """One self-contained HTML page with everything that is known about a day; equal input gives equal bytes.

    Args:
        report: the day's.
        decisions: about this day, in any order.
        title: the project's name.
        previous: the closest day before it that has a page; None: it is the first.
        following: the closest day after it that has a page; None: it is the last.
    """
    return render(
        "day.html.j2",
        report=report,
        decisions=sorted(decisions, key=lambda row: row.decided_at),
        title=title,
        previous=previous,
        following=following,
        content_id=content_id(report, decisions, title=title, previous=previous, following=following),
        pictures=_charts(report),
        scores={feature.name: feature for feature in report.features},
        starts_training=STARTS_TRAINING,
        listed=_LISTED,
    )


def content_id(
    report: DayReport,
    decisions: Sequence[DecisionRow],
    *,
    title: str,
    previous: dt.date | None,
    following: dt.date | None,
) -> str:
    """Identify a page's content without rendering the page; the page carries this id in its head."""
    content = repr((report, sorted(decisions, key=lambda row: row.decided_at), title, previous, following, look()))
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _charts(report: DayReport) -> list[tuple[str, Markup]]:
    """The name of each feature with its chart."""
    if not report.distributions:
        return []
    # matplotlib takes half a second to import.
    from har.pages._charts import style
    from har.pages._distribution import draw_distribution

    with style():
        return [
            (one.name, draw_distribution(one, f"distribution-{number}"))
            for number, one in enumerate(report.distributions, 1)
        ]
