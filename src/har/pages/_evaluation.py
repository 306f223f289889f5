"""An evaluation in, one self-contained HTML page out that opens offline; the same numbers as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from har.evaluation import Evaluation, Latency
from har.files import write_atomically

_TEMPLATE = Path(__file__).parent / "templates" / "evaluation.html.j2"


def render_report(
    evaluation: Evaluation,
    *,
    title: str,
    facts: Mapping[str, str],
    latency: Latency | None = None,
    champion: Evaluation | None = None,
) -> str:
    """One HTML page with every figure and picture; equal input gives equal bytes.

    Args:
        evaluation: what to show.
        title: the page's heading.
        facts: where the figures come from (model version, data version, split, commit …), shown in this order.
        latency: of the exported file.
        champion: the model to compare with, on the same windows.
    """
    # matplotlib takes a while to import, and neither the gate nor the figures need it.
    from har.pages._evaluation_charts import pictures

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(percent=_percent, interval=_interval, count=_count, points=_points)
    page: str = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        evaluation=evaluation,
        title=title,
        facts=facts,
        latency=latency,
        champion=champion,
        pictures={name: Markup(svg) for name, svg in pictures(evaluation, champion).items()},  # noqa: S704
    )
    return page


def write_report(
    evaluation: Evaluation,
    prefix: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    latency: Latency | None = None,
    champion: Evaluation | None = None,
    figures: Mapping[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Write `<prefix>.html` and `<prefix>.json`, each in one step; returns both paths.

    Args:
        evaluation: what to show.
        prefix: such as `reports/evaluation`.
        title: the page's heading.
        facts: where the figures come from.
        latency: of the exported file.
        champion: the model to compare with.
        figures: what the JSON holds; None: everything of the evaluation, with the title, the facts and the latency.
    """
    page = render_report(evaluation, title=title, facts=facts, latency=latency, champion=champion)
    if figures is None:
        timing = latency.to_json() if latency else None
        figures = {"title": title, "facts": dict(facts), "latency": timing, **evaluation.to_json()}
    text = json.dumps(figures, indent=1, ensure_ascii=False, allow_nan=False)
    return (
        write_atomically(prefix.with_name(f"{prefix.name}.html"), page),
        write_atomically(prefix.with_name(f"{prefix.name}.json"), text + "\n"),
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}\N{NO-BREAK SPACE}%"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−") + "\N{NO-BREAK SPACE}points"


def _count(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
