"""A recipe in, a judged model file out: the recipe holds everything that decides a model, so the same comes out again.

`python -m har.experiment RECIPE.json FOLDER` is how `har reproduce` runs the code of a recorded commit.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from har.dataset import load_windows, placements
from har.errors import NotEnoughDataError
from har.evaluation import (
    Evaluation,
    Latency,
    Outcome,
    OwnLimits,
    Verdict,
    compare,
    compare_after_drift,
    evaluate,
    latency,
    refuse_to_compare,
    render_report,
)
from har.files import write_atomically
from har.inference import Classifier, ModelMetadata
from har.lake import Lake, newest_day
from har.monitoring.drift import REFERENCE, REFERENCE_PROFILE, reference_of
from har.monitoring.profiles import chosen_features, require_whylogs
from har.recipe import Recipe as Recipe
from har.settings import Monitoring, Settings
from har.training import EpochReport, Fitted, Signal, export, feature_names, fit
from har.windows import WindowSet, split_subjects


@dataclass(frozen=True)
class Experiment:
    """A trained model with its figures on the held-out subjects."""

    recipe: Recipe
    model: Path
    outcome: Outcome
    evaluation: Evaluation
    latency: Latency
    metrics: dict[str, float]
    report: Path


def make_recipe(
    settings: Settings,
    lake: Lake,
    *,
    network: str | None = None,
    seed: int | None = None,
    git_commit: str = "",
    git_dirty: bool = False,
    regimes: Sequence[dt.date] = (),
    held_out: Sequence[str] = (),
) -> Recipe:
    """Settle everything that decides the model, from the settings and what the lake holds now.

    Args:
        settings: the project's.
        lake: read at its newest versions, which the recipe names.
        network: by default the settings'.
        seed: by default the settings'.
        git_commit: of the code.
        git_dirty: whether the code had changes that are in no commit.
        regimes: first days of new distributions: the champion's, and that of the drift to be trained on.
        held_out: who judges: the champion's judges, when it shall be met on a new distribution. Those without labelled
            windows are left out; empty: the settings decide.

    Raises:
        NotEnoughDataError: no labelled windows, too few subjects, or none of `held_out` has labelled windows.
    """
    version, labels_version = lake.samples.version(), lake.labels.version()
    every = load_windows(lake, settings, version=version, labels_version=labels_version)
    windows = labelled(every)
    seed = settings.training.seed if seed is None else seed
    present = np.unique(windows.subjects).tolist()
    split = split_subjects(
        present,
        held_out=_still_there(held_out, present) if held_out else settings.split.held_out,
        share=settings.split.held_out_share,
        validation=settings.split.validation,
        seed=seed,
    )
    return Recipe(
        settings=settings.model_dump(mode="json"),
        lake=str(lake.folder),
        lake_version=version,
        split={name: list(subjects) for name, subjects in vars(split).items()},
        network=network or settings.training.network,
        seed=seed,
        git_commit=git_commit,
        git_dirty=git_dirty,
        regimes=[date.isoformat() for date in sorted(set(regimes))],
        labels_version=labels_version,
        trained_to=newest_day(every.dates.tolist()).isoformat(),
    )


def _still_there(held_out: Sequence[str], present: Sequence[str]) -> list[str]:
    found = [subject for subject in held_out if subject in present]
    if not found:
        raise NotEnoughDataError(
            where="split by subject",
            expected=f"labelled windows of a subject that the champion did not train on ({', '.join(held_out)})",
            got="none",
            remedy="Ingest labelled recordings of one of them, or train without a look at the champion: har train.",
        )
    return found


def labelled(windows: WindowSet) -> WindowSet:
    """The windows that have an activity.

    Raises:
        NotEnoughDataError: there are none.
    """
    chosen = windows.select(windows.labels >= 0)
    if not len(chosen):
        raise NotEnoughDataError(
            where="the lake's samples",
            expected="labelled windows",
            got=f"{len(windows)} windows without a label",
            remedy="Add the activity column to the files, or lower windows.purity in har.toml.",
        )
    return chosen


def run(
    recipe: Recipe,
    folder: Path,
    *,
    on_epoch: Callable[[EpochReport], None] | None = None,
    monitoring: Monitoring | None = None,
) -> Experiment:
    """Train, export and judge on the held-out subjects; writes model.onnx, report.html, recipe.json and metrics.json.

    Where monitoring is enabled, `reference.json` is written beside them, what drift is measured against, and
    `reference-profile.bin`, the same windows as whylogs profiles them.

    Args:
        recipe: what to train.
        folder: gets the files.
        on_epoch: called after every epoch.
        monitoring: what the reference holds, which decides nothing about the model; None: as the recipe's settings say.

    Raises:
        MonitoringError: monitoring is enabled and whylogs is not installed, or a pattern of monitoring.features names
            nothing; before anything is trained.
    """
    settings = Settings.from_values(recipe.settings, root=folder)
    monitoring = monitoring or settings.monitoring
    signal = Signal.from_settings(settings)
    if monitoring.enabled:
        require_whylogs()
        chosen_features(feature_names(signal), monitoring)
    lake = Lake(Path(recipe.lake), settings.sensors.channels)
    every = load_windows(lake, settings, version=recipe.lake_version, labels_version=recipe.labels_version)
    windows = labelled(every)
    split = recipe.sides
    fitted = fit(
        windows,
        split.train,
        split.validation,
        signal=signal,
        network=recipe.network,
        seed=recipe.seed,
        epochs=settings.training.epochs,
        batch_size=settings.training.batch_size,
        device=settings.training.device,
        regimes=recipe.regimes_of(windows),
        on_epoch=on_epoch,
    )
    metadata = describe(
        settings, fitted, git_commit=recipe.git_commit, data_version=recipe.data_version, split_id=split.id
    )
    folder.mkdir(parents=True, exist_ok=True)
    model = export(fitted, folder / "model.onnx", metadata)
    classifier = Classifier(model, threads=1)
    outcome = judge(classifier, windows, split.held_out)
    evaluation = evaluate(outcome)
    timing = latency(classifier)
    metrics = {
        **{name: float(value) for name, value in evaluation.flat().items() if isinstance(value, int | float)},
        "latency_us_p50": timing.p50_us,
        "latency_us_p99": timing.p99_us,
        "temperature": float(fitted.temperature),
        "windows_trained": float(np.isin(windows.subjects, split.train).sum()),
    }
    facts = {
        "Network": recipe.network,
        "Data": f"{recipe.data_version} ({len(windows)} labelled windows)",
        "Judged on": ", ".join(split.held_out),
        "Trained on": ", ".join(split.train),
        "Calibrated on": ", ".join(split.validation),
        "Split": split.id,
        "Seed": str(recipe.seed),
        "Git commit": recipe.git_commit or "none recorded",
        "Trained at": metadata.trained_at,
    }
    page = render_report(evaluation, title=f"{settings.project.name}: held-out subjects", facts=facts, latency=timing)
    report = write_atomically(folder / "report.html", page)
    for name in (REFERENCE, REFERENCE_PROFILE):
        (folder / name).unlink(missing_ok=True)
    if monitoring.enabled:
        seen = every.of((*split.train, *split.validation))
        worn = placements(lake, seen, version=recipe.lake_version)
        reference, profile = reference_of(
            classifier, seen, monitoring, regimes=recipe.regimes, placements=worn, seed=recipe.seed
        )
        reference.write(folder / REFERENCE)
        write_atomically(folder / REFERENCE_PROFILE, profile.to_bytes())
    write_atomically(folder / "recipe.json", json.dumps(recipe.to_json(), indent=1))
    write_atomically(folder / "metrics.json", json.dumps(metrics, indent=1))
    return Experiment(recipe, model, outcome, evaluation, timing, metrics, report)


def describe(settings: Settings, fitted: Fitted, *, git_commit: str, data_version: str, split_id: str) -> ModelMetadata:
    """What a network's model file shall say about itself."""
    return ModelMetadata(
        project=settings.project.name,
        network=fitted.network,
        **settings.model_input,
        stride=settings.stride,
        feature_names=fitted.feature_names,
        temperature=fitted.temperature,
        abstain_below=settings.scoring.abstain_below,
        git_commit=git_commit,
        data_version=data_version,
        split_id=split_id,
        trained_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    )


def judge(classifier: Classifier, windows: WindowSet, subjects: tuple[str, ...], batch_size: int = 64) -> Outcome:
    """A model file's probabilities for the labelled windows of these subjects."""
    chosen = windows.of(subjects)
    chosen = chosen.select(chosen.labels >= 0)
    parts = [
        classifier.predict(chosen.batch(slice(first, first + batch_size))).probabilities
        for first in range(0, len(chosen), batch_size)
    ]
    return Outcome(
        labels=chosen.labels.astype(np.int64),
        probabilities=np.concatenate(parts)
        if parts
        else np.empty((0, len(classifier.metadata.activities)), np.float32),
        subjects=chosen.subjects,
        activities=classifier.metadata.activities,
    )


def challenge(
    challenger: Path,
    recipe: Recipe,
    metrics: Mapping[str, float],
    *,
    champion: Path | None,
    champion_recipe: Recipe | None,
    settings: Settings,
) -> Verdict:
    """Judge a challenger against the champion, on the challenger's held-out subjects that the champion never saw.

    A challenger that was trained on a distribution which the champion does not know (its recipe has another regime)
    must be no worse on the days before it, within `gates.old_margin`, and better on the days since. Any other must be
    no worse on all of them together, within `gates.margin`. One that was made for other windows or other activities
    than the champion is left to a person.

    Args:
        challenger: its model file.
        recipe: its recipe: names the data version and the subjects.
        metrics: its figures; `latency_us_p99` is read.
        champion: the champion's model file, None if there is none.
        champion_recipe: names the subjects that the champion saw.
        settings: gates; `drift.min_windows` is the least number of labelled windows before and since a drift.

    Raises:
        NotEnoughDataError: the champion saw every subject that the challenger was to be judged on.
    """
    lake = Lake(Path(recipe.lake), settings.sensors.channels)
    windows = load_windows(
        lake,
        Settings.from_values(recipe.settings, root=settings.root),
        version=recipe.lake_version,
        labels_version=recipe.labels_version,
    )
    seen = {*champion_recipe.split["train"], *champion_recipe.split["validation"]} if champion_recipe else set()
    judges = tuple(subject for subject in recipe.split["held_out"] if subject not in seen)
    if not judges:
        raise NotEnoughDataError(
            where="gate",
            expected="a held-out subject that the champion was not trained on",
            got=f"{', '.join(recipe.split['held_out'])}, all of whom it saw",
            remedy="Hold out others (har.toml, split.held_out), or decide by hand: har promote VERSION --reason WHY.",
        )
    held_out = labelled(windows.of(judges))
    new_model = Classifier(challenger, threads=1)
    old_model = Classifier(champion, threads=1) if champion else None
    own = judge(new_model, held_out, judges)
    gates = settings.gates
    limits = OwnLimits(gates.class_floor, gates.latency_ms, metrics["latency_us_p99"] / 1000)
    if old_model:
        asked, known = new_model.metadata.model_input, old_model.metadata.model_input
        other = [name for name in asked if asked[name] != known[name]]
        if other:
            return refuse_to_compare(own, other, limits)
    its = judge(old_model, held_out, judges) if old_model else None
    new = [date for date in recipe.regimes if champion_recipe and date not in champion_recipe.regimes]
    if its is None or not new:
        return compare(own, its, limits, margin=gates.margin)
    return compare_after_drift(
        own,
        its,
        held_out.dates >= np.datetime64(min(new)),
        limits,
        old_margin=gates.old_margin,
        least_windows=settings.drift.min_windows,
    )


def main(arguments: list[str]) -> None:
    """Run one recipe from a file, for its figures: a reference is not among them, and its package need not be there."""
    recipe, folder = arguments
    recorded = Recipe(**json.loads(Path(recipe).read_text(encoding="utf-8")))
    run(recorded, Path(folder), monitoring=Monitoring(enabled=False))


if __name__ == "__main__":
    main(sys.argv[1:])
