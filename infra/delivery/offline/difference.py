"""The figures of this code beside those of another commit, as Markdown: what a pull request would change.

    make metric-difference [BASE=origin/main]

Both commits run `make train-smoke` with the same recordings and seed: this one here, the other in a worktree with this
environment's packages. The interval of a difference resamples the held-out subjects, each with both models' answers.
The table is in `build/delivery/difference.md`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from har.console import console
from har.errors import ReproductionError
from har.evaluation import bootstrap_mean
from har.files import write_atomically
from har.registry import git_state, worktree
from har.settings import load_settings
from infra.delivery._step import figure, results, run_step, table
from infra.delivery.offline.train_smoke import NAME

DIFFERENCE = "difference.md"
MARK = "<!-- metric-difference -->"
"""The first line: by it, the comment of an earlier run is found and replaced."""

_SHARES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "least_recall": "least recall of an activity",
    "least_subject_accuracy": "accuracy of the worst subject",
    "calibration_error": "calibration error",
}
_BOUNDS = (2.5, 97.5)


def difference(base: Mapping[str, Any] | None, head: Mapping[str, Any], *, base_name: str, notes: list[str]) -> str:
    """Both commits' figures in a table.

    Args:
        base: figures of `train_smoke`; None: the other commit has none.
        head: of this code.
        base_name: the other commit, as people call it.
        notes: sentences below the table.
    """
    commit = f"{head['git_commit'][:10]}{' and uncommitted changes' if head['git_dirty'] else ''}"
    lines = [MARK, f"### Training smoke test: {commit or 'this code'} beside {base_name}", ""]
    metrics = head["metrics"]
    if base is None:
        rows = [[words, figure(metrics, name)] for name, words in _SHARES.items() if name in metrics]
        lines.append(table(["figure", "this code"], rows))
    else:
        lines.append(table(["figure", base_name, "this code", "difference", "its 95 % interval"], _rows(base, head)))
    judges = len(head["per_subject"])
    lines += [
        "",
        f"Network {head['network']}, {head['epochs']} epochs, seed {head['seed']}, on the embedded recordings; judged "
        f"on {judges} held-out subjects. The interval resamples subjects. It is a smoke test: it shows that a change "
        "moves figures, not how good a model of your own data is.",
        *notes,
    ]
    return "\n".join(lines) + "\n"


def _rows(base: Mapping[str, Any], head: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for name, words in _SHARES.items():
        if name not in base["metrics"] or name not in head["metrics"]:
            continue
        before, now = base["metrics"][name], head["metrics"][name]
        between = paired_interval(base["per_subject"], head["per_subject"]) if name == "accuracy" else None
        shown = f"{between[0]:+.4f} … {between[1]:+.4f}" if between else "–"
        ours, theirs = (figure(one["metrics"], name) for one in (head, base))
        rows.append([words, theirs, ours, f"{now - before:+.4f}", shown])
    return rows


def paired_interval(
    base: Mapping[str, Mapping[str, int]], head: Mapping[str, Mapping[str, int]]
) -> tuple[float, float] | None:
    """95 % bounds of the difference in accuracy when subjects are resampled, each with both models' answers.

    Args:
        base: windows and right answers per subject.
        head: likewise.

    Returns:
        Lower and upper bound; None where subjects or windows differ, or with fewer than three subjects.
    """
    if {name: one["windows"] for name, one in base.items()} != {name: one["windows"] for name, one in head.items()}:
        return None
    counts = [head[name]["windows"] for name in head]
    # The mean over windows depends on each subject's sum alone, so any order of the right answers will do.
    values = [np.arange(one["windows"]) < one["right"] for one in head.values()]
    before = [np.arange(base[name]["windows"]) < base[name]["right"] for name in head]
    paired = np.concatenate(values).astype(float) - np.concatenate(before)
    bounds = bootstrap_mean(paired, np.repeat(np.array([*head]), counts), _BOUNDS)
    return None if bounds is None else (bounds[0], bounds[1])


def figures_of(root: Path, out: Path) -> dict[str, Any]:
    """Run the smoke test of the code in `root` with this environment's packages; its figures go to `out`.

    Raises:
        ReproductionError: it failed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HAR_")}
    environment["PYTHONPATH"] = f"{root / 'src'}{os.pathsep}{root}"
    command = [sys.executable, "-m", "infra.delivery.offline.train_smoke", "--out", str(out)]
    done = subprocess.run(command, cwd=root, env=environment, stdin=subprocess.DEVNULL, check=False)
    if not out.is_file():
        raise ReproductionError(
            where=f"training smoke test in {root}",
            expected="figures",
            got=f"exit status {done.returncode}, and none",
            remedy="Its messages are above; `make train-smoke` runs it by itself.",
        )
    return dict(json.loads(out.read_text(encoding="utf-8")))


def _commit(root: Path, name: str) -> str:
    found = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise ReproductionError(
            where="BASE",
            expected="a commit, branch or tag of this repository",
            got=repr(name),
            remedy="Fetch it (a shallow clone has the last commit alone), or name another: BASE=main.",
        )
    return found.stdout.strip()


def _of_base(root: Path, commit: str, folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The figures of another commit and what has to be said about them."""
    out = folder / "train-smoke-base.json"
    out.unlink(missing_ok=True)
    with worktree(root, commit) as tree:
        if not (tree / "infra" / "delivery" / "offline" / "train_smoke.py").is_file():
            return None, ["", "That commit has no training smoke test yet: there is nothing to compare with."]
        pins = Path("requirements") / "dev.txt"
        same = (tree / pins).is_file() and (tree / pins).read_bytes() == (root / pins).read_bytes()
        figures = figures_of(tree, out)
    return figures, [] if same else ["", f"{pins} differs: both were run with this code's packages."]


def _main() -> int:
    settings = load_settings()
    root, folder = settings.root, results(settings.root)
    base = os.environ.get("BASE") or "origin/main"
    commit = _commit(root, base)
    head = _known(root, folder / NAME) or figures_of(root, folder / NAME)
    figures, notes = _of_base(root, commit, folder)
    name = commit[:10] if base.startswith(commit[:10]) else f"{base} ({commit[:10]})"
    path = write_atomically(folder / DIFFERENCE, difference(figures, head, base_name=name, notes=notes))
    console.print(path.read_text(encoding="utf-8"), highlight=False, markup=False, soft_wrap=True)
    console.print(str(path), highlight=False)
    return 0


def _known(root: Path, path: Path) -> dict[str, Any] | None:
    """The figures of an earlier step, if they are of this very commit."""
    state = git_state(root)
    if state.dirty or not state.commit or not path.is_file():
        return None
    figures = dict(json.loads(path.read_text(encoding="utf-8")))
    fits = figures.get("git_commit") == state.commit and figures.get("git_dirty") is False
    return figures if fits and figures.get("seed") == int(os.environ.get("SEED") or 0) else None


if __name__ == "__main__":
    run_step(_main)
