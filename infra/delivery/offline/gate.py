"""What the gate decided about the newest version, as Markdown in `build/delivery/gate.md`.

`make deliver-train` trains, registers and lets the gate decide; here the decision is read from the promotion log, after
the log was verified. The step ends with 1 if nothing was decided about the newest version; a rejected challenger is a
result like any other: the champion goes on serving.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from har.console import console
from har.errors import RegistryError
from har.files import write_atomically
from har.project import Project, open_project
from har.registry import Promotion, Version
from infra.delivery._step import BAD, figure, results, run_step, table

NAME = "gate.md"
DECISIONS = ("promote", "reject")

_FIGURES = {
    "accuracy": "accuracy on the held-out subjects",
    "macro_f1": "macro-F1",
    "least_recall": "least recall of an activity",
    "calibration_error": "calibration error",
}


def decision(project: Project) -> tuple[Version, Promotion | None]:
    """The newest version, and the last decision of the gate or a person about it; None: none yet.

    Raises:
        RegistryError: no version is registered, or the log was edited or disagrees with the registry.
    """
    registry = project.registry
    versions = registry.versions()
    if not versions:
        raise RegistryError(
            where="registry", expected="a registered version", got="none", remedy="Train one: `make deliver-train`."
        )
    registry.verify_log()
    newest = max(versions, key=lambda version: version.number)
    moves = [move for move in registry.log() if move.version == newest.number and move.action in DECISIONS]
    return newest, moves[-1] if moves else None


def page(version: Version, move: Promotion, champion: Version | None) -> str:
    """The decision in Markdown: verdict, reasons, and both models' figures.

    Args:
        version: that was judged.
        move: the decision.
        champion: who served before; None: nobody.
    """
    verdict = "promoted: it serves now" if move.action == "promote" else "not promoted"
    lines = [f"### Version {version.number} {verdict}", ""]
    headings, rows = ["figure", f"version {version.number}"], _rows(version, champion)
    if champion is not None:
        headings.append(f"champion (version {champion.number}), at its registration")
    lines += [table(headings, rows), ""]
    if compared := _compared(move.figures):
        lines += [compared, ""]
    lines += [move.reason, "", f"Decided by {move.who}, {move.when:%Y-%m-%d %H:%M} UTC."]
    return "\n".join(lines) + "\n"


def _rows(version: Version, champion: Version | None) -> list[list[str]]:
    both = [version, *([champion] if champion else [])]
    rows = []
    for name, words in _FIGURES.items():
        if name in version.metrics:
            rows.append([words, *(figure(one.metrics, name) for one in both)])
    return rows


def _compared(figures: Mapping[str, Any]) -> str:
    """The difference on the same windows, with its bounds."""
    difference, low, high = (figures.get(name) for name in ("difference", "low", "high"))
    if difference is None:
        return ""
    bounds = f", one-sided 95 % bounds {low:+.4f} and {high:+.4f}" if low is not None and high is not None else ""
    return f"On the same windows, the challenger's accuracy differs by {difference:+.4f}{bounds}."


def _main() -> int:
    project = open_project()
    version, move = decision(project)
    if move is None:
        console.print(
            f"Version {version.number} was registered, and nothing was decided about it: run `make deliver-train` "
            "again, which continues there.",
            highlight=False,
        )
        return BAD
    before = move.champion_before
    champion = project.registry.version(before) if before not in (None, version.number) else None
    path = write_atomically(results(project.settings.root) / NAME, page(version, move, champion))
    console.print(path.read_text(encoding="utf-8"), highlight=False, markup=False, soft_wrap=True)
    console.print(str(path), highlight=False)
    return 0


if __name__ == "__main__":
    run_step(_main)
