"""One day's report and what was decided in, one self-contained HTML page out that opens offline."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence

from markupsafe import Markup

from har.monitoring._figures import picture
from har.monitoring._page import look, render
from har.monitoring.decisions import STARTS_TRAINING, DecisionRow
from har.monitoring.drift import DayReport

_LISTED = 20
"""Features and slices that the tables show at once; the others fold away."""


def render_day(
    report: DayReport,
    decisions: Sequence[DecisionRow],
    *,
    title: str,
    previous: dt.date | None,
    following: dt.date | None,
) -> str:
    """One HTML page with everything that is known about a day; equal input gives equal bytes.

    Args:
        report: the day's.
        decisions: about this day, in any order.
        title: the project's name.
        previous: the day before it that has a page, None for the first.
        following: the day after it that has a page, None for the last.
    """
    pictures: list[tuple[str, Markup]] = [(one.name, picture(one)) for one in report.distributions]
    return render(
        "drift_day.html.j2",
        report=report,
        decisions=sorted(decisions, key=lambda row: row.decided_at),
        title=title,
        previous=previous,
        following=following,
        content_id=content_id(report, decisions, title=title, previous=previous, following=following),
        pictures=pictures,
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
    """Names a page's content without making the page; the page carries it in its head."""
    content = repr((report, sorted(decisions, key=lambda row: row.decided_at), title, previous, following, look()))
    return hashlib.sha256(content.encode()).hexdigest()[:32]
