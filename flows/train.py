"""`train`: the lake as it is now in, a registered version out; it serves if it passes the gate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from flows._console import bar, console
from flows._events import promotion
from flows._project import IO_RETRIES, Project, current_champion, open_project
from har.experiment import Recipe, challenge, make_recipe, run
from har.files import write_atomically
from har.packaging import TAGS
from har.registry import git_state, whoami


@dataclass(frozen=True)
class TrainReport:
    """What a run of `train` did.

    Attributes:
        version: the registered version.
        trained: False if this recipe was registered before.
        promoted: whether it serves now.
        reasons: the gate's words.
        metrics: figures on the held-out subjects.
    """

    version: int
    trained: bool
    promoted: bool
    reasons: tuple[str, ...]
    metrics: dict[str, float]


@task(name="settle-recipe", **IO_RETRIES)
def settle_recipe(project: Project, network: str | None, seed: int | None) -> Recipe:
    """Fix data version, split, seed and commit."""
    git = git_state(project.settings.root)
    return make_recipe(
        project.settings, project.lake, network=network, seed=seed, git_commit=git.commit, git_dirty=git.dirty
    )


@task(name="fit-and-export", cache_policy=NO_CACHE)
def fit_and_export(project: Project, recipe: Recipe) -> Path:
    """Train, export and judge; returns the folder with the model and its figures."""
    folder = project.settings.path("runs") / recipe.key
    epochs = project.settings.training.epochs
    # An epoch is run twice at most: to find the best one, and to train on everybody up to it.
    with bar(f"Training {recipe.network}", 2 * epochs, "epochs") as advance:
        run(recipe, folder, on_epoch=lambda epoch: advance(f"{epoch.phase}, loss {epoch.loss:.3f}"))
    return folder


@task(name="register", **IO_RETRIES)
def register(project: Project, recipe: Recipe, folder: Path) -> int:
    """Register what `fit_and_export` wrote, and make it the challenger."""
    registry = project.registry
    metrics: dict[str, float] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    version = registry.register(
        folder / "model.onnx",
        params={
            "network": recipe.network,
            "seed": recipe.seed,
            **recipe.settings["training"],
            **recipe.settings["windows"],
        },
        metrics=metrics,
        recipe=recipe.to_json(),
        report=folder / "report.html",
        tags=recipe.tags(),
    )
    registry.set_challenger(version.number)
    page = (folder / "report.html").read_bytes()
    write_atomically(_report(project, version.number), page)
    return version.number


@task(name="gate", **IO_RETRIES)
def gate(project: Project, version: int) -> dict[str, Any]:
    """Let the challenger meet the champion on subjects that neither has seen, and move the aliases."""
    registry = project.registry
    champion = current_champion(registry)
    verdict = challenge(
        registry.model_path(version),
        Recipe(**registry.recipe(version)),
        registry.version(version).metrics,
        champion=registry.model_path(champion.number) if champion else None,
        champion_recipe=Recipe(**registry.recipe(champion.number)) if champion else None,
        settings=project.settings,
    )
    decide = registry.promote if verdict.promote else registry.reject
    decide(version, reason=" ".join(verdict.reasons), who=whoami(), figures=verdict.to_json(), by_gate=True)
    return {"promoted": verdict.promote, "reasons": verdict.reasons}


@flow(name="train")
def train(network: str | None = None, seed: int | None = None) -> TrainReport:
    """Train a challenger on the lake's labelled windows and let it meet the champion.

    The same recipe (data version, settings, split, seed, commit) is trained once; asked again, its version is reported.

    Args:
        network: `spectral` or `dscnn`; by default har.toml's.
        seed: by default har.toml's.
    """
    project = open_project()
    recipe = settle_recipe(project, network, seed)
    versions = project.registry.versions()
    known = next((version for version in versions if version.tags.get("recipe_key") == recipe.key), None)
    if known is None:
        number = register(project, recipe, fit_and_export(project, recipe))
    else:
        number = known.number
        console.print(f"Version {number} has this recipe already: nothing to train.")
    decisions = [move for move in project.registry.log() if move.version == number and move.action != "challenge"]
    if decisions:
        promoted, reasons = decisions[-1].champion_after == number, [decisions[-1].reason]
    else:
        decided = gate(project, number)
        promoted, reasons = decided["promoted"], decided["reasons"]
    version = project.registry.version(number)
    if promoted and not all(name in version.tags for name in TAGS):
        # Events can be lost: a champion that nobody packaged is announced again by the next run.
        emit_event(**promotion(project.settings, number))
    report = TrainReport(number, known is None, promoted, tuple(reasons), version.metrics)
    create_table_artifact(
        key="train-run",
        table=[{"figure": name, "value": f"{value:.4f}"} for name, value in sorted(report.metrics.items())],
        description=f"Version {number}, {'promoted' if promoted else 'not promoted'}: {' '.join(report.reasons)}",
    )
    create_link_artifact(
        key="train-report",
        link=_report(project, number).as_uri(),
        description=f"Version {number} on the held-out subjects.",
    )
    return report


def _report(project: Project, version: int) -> Path:
    return project.settings.path("reports") / f"model-{version}.html"
