"""The page about a search of the settings of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from har.files import write_atomically
from har.pages._render import render


def write_tuning(path: Path, figures: Mapping[str, Any], lines: str, *, title: str) -> Path:
    """Write the page; it links to `index.html` beside it.

    Args:
        path: of the page.
        figures: as in `reports/tuning.json`.
        lines: the best configuration as lines of har.toml; "": the project has it.
        title: the page's heading.
    """
    names = sorted({name for trial in figures["tried"] for name in trial["values"]})
    ended = [trial for trial in figures["tried"] if trial["state"] != "running"]
    order = {"complete": 0, "pruned": 1, "failed": 2}
    tried = sorted(ended, key=lambda trial: (order[trial["state"]], -(trial["value"] or 0), trial["number"]))
    page = render("tuning.html.j2", title=title, figures=figures, lines=lines, names=names, tried=tried)
    return write_atomically(path, page)
