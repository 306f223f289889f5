"""The page that leads to every page: `index.html` in the folder of reports."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

from filelock import FileLock

from har.files import make_folder, write_atomically
from har.pages._render import render

_LISTED = 14
"""List this many days at once; earlier ones fold away."""


def write_index(reports: Path, *, title: str) -> Path:
    """Write `reports/index.html`: a link to each page in the folder. Call it after writing a page.

    Args:
        reports: the folder of all pages.
        title: the project's name.

    Returns:
        The page.
    """
    make_folder(reports)
    # Two jobs at once: each lists the folder as it is then, and the later one lists the pages of both.
    with FileLock(reports / ".index.lock"):
        return write_atomically(reports / "index.html", render_contents(reports, title=title))


def render_contents(reports: Path, *, title: str) -> str:
    """One HTML page with a link to each page in this folder."""
    drift = _days(reports / "drift")
    return render(
        "index.html.j2",
        title=title,
        single={name: (reports / name).is_file() for name in _SINGLE},
        releases=_releases(reports / "releases"),
        models=sorted(int(found[1]) for path in reports.glob("model-*.html") if (found := _MODEL(path.name)))[::-1],
        drift=drift,
        verdict=_verdict(reports / "drift" / f"{drift[0]}.json") if drift else "",
        activity=_days(reports / "activity"),
        listed=_LISTED,
    )


_SINGLE = (
    *("evaluation.html", "quality.html", "tuning.html", "loop.html"),
    *("drift/index.html", "operations.html", "model.html"),
)
_MODEL = re.compile(r"model-(\d+)\.html").fullmatch
_RELEASE = re.compile(r"v(\d+)-(\d+)").fullmatch
_DAY = re.compile(r"\d{4}-\d\d-\d\d").fullmatch


def _days(folder: Path) -> list[str]:
    """Dates that have a page, the newest first."""
    return sorted((path.stem for path in folder.glob("*.html") if _DAY(path.stem)), reverse=True)


def _releases(folder: Path) -> list[tuple[str, int, dt.datetime]]:
    """Releases that have a page, each with its version and its beginning, the newest first."""
    found = [(path.stem, match) for path in folder.glob("*.html") if (match := _RELEASE(path.stem))]
    listed = [(name, int(match[1]), dt.datetime.fromtimestamp(int(match[2]) / 1000, dt.UTC)) for name, match in found]
    return sorted(listed, key=lambda entry: entry[2], reverse=True)


def _verdict(path: Path) -> str:
    verdict: str = json.loads(path.read_text(encoding="utf-8"))["verdict"] if path.is_file() else ""
    return verdict
