"""The page about an evaluation: accuracy, confusion, subjects and confidence; and its numbers as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from har.evaluation import Evaluation, Latency
from har.files import write_atomically
from har.pages._render import render


def render_report(
    evaluation: Evaluation,
    *,
    title: str,
    facts: Mapping[str, str],
    latency: Latency | None = None,
    champion: Evaluation | None = None,
    home: str = "",
) -> str:
    """One HTML page with every figure and picture; equal input gives equal bytes.

    Args:
        evaluation: what to show.
        title: the page's heading.
        facts: where the figures come from (model version, data version, split, commit …), shown in this order.
        latency: of the exported file.
        champion: the model to compare with, on the same windows.
        home: link to the page of all pages; "" for a page that has none, such as an artifact of MLflow.
    """
    # matplotlib takes half a second to import.
    from har.pages._evaluation_charts import pictures

    return render(
        "evaluation.html.j2",
        evaluation=evaluation,
        title=title,
        facts=facts,
        latency=latency,
        champion=champion,
        home=home,
        pictures=pictures(evaluation, champion),
    )


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

    The page links to `index.html` beside it, which `write_index` writes.

    Args:
        evaluation: what to show.
        prefix: such as `reports/evaluation`.
        title: the page's heading.
        facts: where the figures come from.
        latency: of the exported file.
        champion: the model to compare with.
        figures: what the JSON holds; None: everything of the evaluation, with the title, the facts and the latency.
    """
    page = render_report(evaluation, title=title, facts=facts, latency=latency, champion=champion, home="index.html")
    if figures is None:
        timing = latency.to_json() if latency else None
        figures = {"title": title, "facts": dict(facts), "latency": timing, **evaluation.to_json()}
    text = json.dumps(figures, indent=1, ensure_ascii=False, allow_nan=False)
    return (
        write_atomically(prefix.with_name(f"{prefix.name}.html"), page),
        write_atomically(prefix.with_name(f"{prefix.name}.json"), text + "\n"),
    )
