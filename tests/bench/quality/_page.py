"""Figures in; one self-contained page, and a table for the terminal, out. It looks as the project's other pages do."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from rich.console import Console
from rich.table import Table

from har.pages import _formatting as formatting
from har.pages._charts import ACCENT, GRID, INK, MUTED, new_figure, style, svg
from tests.bench.quality._protocols import PROTOCOLS

PACKAGES = ("numpy", "scikit-learn", "torch", "onnxruntime")
_ROW, _HEAD = 30, 46


def machine() -> dict[str, Any]:
    """Where the figures were measured."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def render(figures: Mapping[str, Any]) -> str:
    """The page; equal figures give equal bytes."""
    used = list(dict.fromkeys(one["protocol"] for one in figures["sets"]))
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title="How good, beside others",
            figures=figures,
            protocols={name: PROTOCOLS[name].statement for name in used},
            peers={peer["peer"]: peer["what"] for one in figures["sets"] for peer in one["peers"]},
            charts=[_chart(one, number) for number, one in enumerate(figures["sets"])],
            verdicts=[verdict(one) for one in figures["sets"]],
        )
    )


def show(figures: Mapping[str, Any]) -> None:
    """Print a table per set and protocol."""
    console = Console(width=150)
    for one in figures["sets"]:
        table = Table(title=f"{one['title']} · {one['protocol']} · {verdict(one)}", title_justify="left")
        for heading in ("", "accuracy", "95 %", "macro-F1", "by groups", "default gains", "train s", "µs", "×", "MB"):
            table.add_column(heading, justify="left" if not heading else "right")
        for peer in one["peers"]:
            table.add_row(
                peer["peer"],
                f"{peer['accuracy']:.1%}",
                f"{peer['accuracy_low']:.1%} to {peer['accuracy_high']:.1%}",
                f"{peer['macro_f1']:.1%}",
                f"{peer['group_macro_f1']:.1%}",
                f"{100 * peer['accuracy_gain']:+.1f} ({100 * peer['accuracy_gain_low']:+.1f} to "
                f"{100 * peer['accuracy_gain_high']:+.1f})",
                f"{peer['train_s']:.1f}",
                f"{peer['one_us']:.0f}",
                f"{peer['one_ratio']:.1f}",
                f"{peer['mb']:.2f}",
            )
        for name, problem in one["missing"].items():
            table.add_row(name, problem)
        console.print(table)


def verdict(one: Mapping[str, Any]) -> str:
    """Who is better than the default on this set, and whether that is more than chance."""
    ahead = [peer for peer in one["peers"] if peer["peer"] != "default" and peer["accuracy_gain"] < 0]
    if not ahead:
        return "no peer has a higher accuracy than the default"
    names = [
        f"{peer['peer']} ({formatting.points(-peer['accuracy_gain'])}"
        f"{'' if peer['accuracy_gain_high'] < 0 else ', within chance'})"
        for peer in sorted(ahead, key=lambda peer: peer["accuracy_gain"])
    ]
    return f"higher accuracy than the default: {', '.join(names)}"


def _chart(one: Mapping[str, Any], number: int) -> Any:
    """Accuracy with its interval, a line per peer; the default's value as a line through all."""
    peers: Sequence[Mapping[str, Any]] = one["peers"]
    with style():
        height = _ROW * len(peers) + _HEAD
        figure = new_figure(620, height)
        axes = figure.add_axes((0.2, _HEAD / height * 0.8, 0.76, 1 - _HEAD / height))
        axes.axvline(100 * peers[0]["accuracy"], color=GRID, linewidth=1.2)
        for place, peer in enumerate(peers):
            colour = ACCENT if peer["peer"] == "default" else MUTED
            low, middle, high = (100 * peer[key] for key in ("accuracy_low", "accuracy", "accuracy_high"))
            axes.plot([low, high], [-place, -place], color=colour, linewidth=2.2)
            axes.plot([middle], [-place], "o", color=colour, markersize=8)
            axes.annotate(f"{middle:.1f}", (middle, -place), (0, 7), textcoords="offset points", ha="center", color=INK)
        axes.set_yticks([-place for place in range(len(peers))], [peer["peer"] for peer in peers])
        axes.set_ylim(-len(peers) + 0.5, 0.7)
        axes.set_xlabel("accuracy in %, with its 95 % interval over subjects")
        axes.spines["left"].set_visible(False)
        description = "; ".join(f"{peer['peer']} {formatting.percent(peer['accuracy'])}" for peer in peers)
        return svg(figure, f"set{number}", f"Accuracy of each peer on {one['name']}: {description}")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.FileSystemLoader(Path(__file__).parent), jinja2.PackageLoader("har.pages")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({function.__name__: function for function in formatting.FILTERS})
    environment.filters["signed"] = lambda value: f"{value:+.1f}".replace("-", "−")
    return environment


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
