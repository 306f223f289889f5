"""A recipe in, a judged model file out: the recipe holds everything that decides a model, so the same comes out again.

`python -m har.experiment RECIPE.json FOLDER [ROOT]` is how `har reproduce` runs the code of a recorded commit.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from har.cards import FACTS, Facts
from har.dataset import device_reference, load_windows, recording_names, wearing
from har.devices import DEVICE_REFERENCE
from har.errors import NotEnoughDataError, TrainingError
from har.evaluation import (
    Evaluation,
    Latency,
    Outcome,
    evaluate,
    latency,
)
from har.files import make_folder, write_atomically
from har.inference import Classifier, ModelMetadata, Runs
from har.lake import Lake, newest_day
from har.monitoring.drift import REFERENCE, REFERENCE_PROFILE, reference_of
from har.monitoring.profiles import chosen_features, require_whylogs
from har.pages import render_report
from har.recipe import SOURCES
from har.recipe import Recipe as Recipe
from har.settings import Monitoring, Settings, check_network
from har.training import (
    EpochReport,
    FitOptions,
    Fitted,
    Novelty,
    Signal,
    export,
    feature_names,
    fit,
    learn_novelty,
    learn_runs,
)
from har.training.networks import configured, find_network, network_source, network_sources
from har.windows import WindowSet, split_subjects


@dataclass(frozen=True)
class Champion:
    """The version that serves, as a challenger is compared with it.

    Attributes:
        number: its version in the registry.
        model: its model file.
        recipe: names the subjects that it was trained and calibrated on.
        accuracy: on its held-out subjects when it was registered, 0 … 1; None: not known.
    """

    number: int
    model: Path
    recipe: Recipe
    accuracy: float | None = None

    @property
    def trained_on(self) -> frozenset[str]:
        """Subjects that cannot judge it."""
        return frozenset((*self.recipe.split["train"], *self.recipe.split["validation"]))


@dataclass(frozen=True)
class Experiment:
    """A trained model with its figures on the held-out subjects.

    `missing_activities` have no window to train on; the model can never find them.
    """

    recipe: Recipe
    model: Path
    outcome: Outcome
    evaluation: Evaluation
    latency: Latency
    metrics: dict[str, float]
    report: Path
    missing_activities: tuple[str, ...]


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
        SettingsError: an unknown network, or one whose file cannot be used; before anything is read.
        NotEnoughDataError: no labelled windows, too few subjects, or none of `held_out` has labelled windows.
    """
    network = check_network(network or settings.training.network, settings.root)
    configured(find_network(network, settings.root), settings.training.values_of(network))
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
        lake=str(lake.location),
        lake_version=version,
        split={name: list(subjects) for name, subjects in vars(split).items()},
        network=network,
        seed=seed,
        git_commit=git_commit,
        git_dirty=git_dirty,
        regimes=[date.isoformat() for date in sorted(set(regimes))],
        labels_version=labels_version,
        trained_to=newest_day(every.dates.tolist()).isoformat(),
        recordings_version=lake.recordings.version(),
        network_source=network_source(network, settings.root),
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
            got=f"{len(windows)} windows without a label, and {windows.without_signal} without a signal",
            remedy="Add the activity column to the files, or lower windows.purity in har.toml; without a signal, check "
            "that the sensor was on.",
        )
    return chosen


def run(
    recipe: Recipe,
    folder: Path,
    *,
    on_epoch: Callable[[EpochReport], None] | None = None,
    monitoring: Monitoring | None = None,
    champion: Champion | None = None,
    root: Path | None = None,
) -> Experiment:
    """Train, export and judge on the held-out subjects; writes model.onnx, report.html, recipe.json and metrics.json.

    The page shows the champion's figures on the same windows beside the model's, where the two can be compared.

    `facts.json` is what the model's card says of its data and training; `network.json` has the files of a drop-in
    network. Where three subjects or more were trained on, `devices.json` says what their devices were like. Where
    monitoring is enabled, `reference.json` is written beside them, what drift is measured against, and
    `reference-profile.bin`, the same windows as whylogs profiles them.

    Args:
        recipe: what to train.
        folder: gets the files.
        on_epoch: called after every epoch.
        monitoring: what the reference holds, which decides nothing about the model; None: as the recipe's settings say.
        champion: to compare with on the page; decides nothing about the model.
        root: the folder that a drop-in network is found from; None: that of the nearest har.toml.

    Raises:
        TrainingError: the files of a drop-in network are not those that the recipe was made with.
        MonitoringError: monitoring is enabled and whylogs is not installed, or a pattern of monitoring.features names
            nothing; before anything is trained.
    """
    settings = Settings.from_values(recipe.settings, root=folder)
    sources = _sources(recipe, root)
    monitoring = monitoring or settings.monitoring
    signal = Signal.from_settings(settings)
    if monitoring.enabled:
        require_whylogs()
        chosen_features(feature_names(signal), monitoring)
    lake = Lake(settings.place(recipe.lake), settings.sensors.channels)
    split = recipe.sides
    every = load_windows(
        lake,
        settings,
        version=recipe.lake_version,
        labels_version=recipe.labels_version,
        unreviewed_of=split.train,
    )
    windows = labelled(every)
    regimes = recipe.regimes_of(windows)
    began = time.perf_counter()
    fitted = fit(
        windows,
        split.train,
        split.validation,
        signal=signal,
        options=FitOptions(
            network=recipe.network,
            seed=recipe.seed,
            epochs=settings.training.epochs,
            batch_size=settings.training.batch_size,
            device=settings.training.device,
            root=root,
            values=settings.training.values_of(recipe.network),
        ),
        regimes=regimes,
        on_epoch=on_epoch,
    )
    seconds = time.perf_counter() - began
    is_seen = np.isin(windows.subjects, (*split.train, *split.validation))
    seen = windows.select(is_seen)
    novelty = learn_novelty(fitted, seen, regimes=None if regimes is None else regimes[is_seen], seed=recipe.seed)
    metadata = describe(
        settings,
        fitted,
        git_commit=recipe.git_commit,
        data_version=recipe.data_version,
        split_id=split.id,
        runs=learn_runs(seen, len(signal.activities), rate_hz=signal.rate_hz),
        novelty=novelty,
    )
    make_folder(folder)
    model = export(fitted, folder / "model.onnx", metadata, novelty=novelty)
    classifier = Classifier(model, threads=1)
    recordings = recording_names(lake, version=recipe.lake_version)
    outcome = judge(classifier, windows, split.held_out, recordings=recordings)
    evaluation = evaluate(outcome)
    timing = latency(classifier)
    metrics = {
        **{name: float(value) for name, value in evaluation.flat().items() if isinstance(value, int | float)},
        "latency_us_p50": timing.p50_us,
        "latency_us_p99": timing.p99_us,
        "temperature": float(fitted.temperature),
        "windows_trained": float(fitted.train_windows),
        "windows_calibrated": float(fitted.validation_windows),
        "epochs_trained": float(fitted.epoch),
        "activities_missing": float(len(fitted.missing_activities)),
        "windows_without_signal": float(windows.without_signal),
    }
    facts = {
        "Network": recipe.network,
        "Data": f"{recipe.data_version} ({len(windows)} labelled windows)",
        "Left out": f"{windows.without_signal} windows without a signal (a sensor off, stuck or at its limit)",
        "Judged on": ", ".join(split.held_out),
        "Trained on": f"{', '.join(split.train)} ({fitted.train_windows} windows)",
        "Calibrated on": f"{', '.join(split.validation)} ({fitted.validation_windows} windows)",
        "Calibration": fitted.summary,
        "Never seen in training": ", ".join(fitted.missing_activities) or "none",
        "Split": split.id,
        "Seed": str(recipe.seed),
        **({"Network's source": recipe.network_source} if recipe.network_source else {}),
        "Git commit": recipe.git_commit or "none recorded",
        "Raw data": _raw(recipe),
        "Trained at": metadata.trained_at,
        "Latency budget": _budget(timing, settings),
    }
    beside = None
    if champion:
        beside, facts["Champion"] = _evaluate_champion(champion, classifier.metadata, windows, split.held_out)
    page = render_report(
        evaluation,
        title=f"{settings.project.name}: held-out subjects",
        facts=facts,
        latency=timing,
        champion=beside,
    )
    report = write_atomically(folder / "report.html", page)
    # Both for every window, once: each look reads the sessions of the whole table of samples.
    placed, device = wearing(lake, every, version=recipe.lake_version)
    Facts.of(
        windows,
        split,
        evaluation,
        stride_s=settings.stride / settings.sensors.rate_hz,
        placements=placed[every.labels >= 0],
        devices=device[every.labels >= 0],
        seconds=seconds,
        on=fitted.module.inverse_temperature.device.type,
    ).write(folder / FACTS)
    for name in (REFERENCE, REFERENCE_PROFILE, DEVICE_REFERENCE, SOURCES):
        (folder / name).unlink(missing_ok=True)
    is_known = np.isin(every.subjects, (*split.train, *split.validation))
    known, worn = every.select(is_known), placed[is_known]
    written = device_reference(lake, settings, known, worn, seed=recipe.seed)
    if written is not None:
        written.write(folder / DEVICE_REFERENCE)
    if monitoring.enabled:
        reference, profile = reference_of(
            classifier, known, monitoring, regimes=recipe.regimes, placements=worn, seed=recipe.seed
        )
        reference.write(folder / REFERENCE)
        write_atomically(folder / REFERENCE_PROFILE, profile.to_bytes())
    if sources:
        write_atomically(folder / SOURCES, json.dumps(sources, indent=0, sort_keys=True))
    write_atomically(folder / "recipe.json", json.dumps(recipe.to_json(), indent=1))
    write_atomically(folder / "metrics.json", json.dumps(metrics, indent=1))
    return Experiment(recipe, model, outcome, evaluation, timing, metrics, report, fitted.missing_activities)


def _sources(recipe: Recipe, root: Path | None) -> dict[str, str]:
    """The files of a drop-in network, if they are those that the recipe was made with."""
    if not recipe.network_source:  # also of a recipe from before it was recorded
        return {}
    now = network_source(recipe.network, root)
    if now != recipe.network_source:
        raise TrainingError(
            where=f"network {recipe.network}",
            expected=f"the source that the recipe was made with ({recipe.network_source[:12]})",
            got=f"another one ({now[:12]})",
            remedy="Train again: har train. A registered version keeps its source: har reproduce VERSION.",
        )
    return network_sources(recipe.network, root)


def _raw(recipe: Recipe) -> str:
    """DVC's hashes of the raw data, or why there are none."""
    held = ", ".join(f"{folder} {oid}" for folder, oid in recipe.snapshot.items())
    return held or f"no snapshot holds them: {recipe.snapshot_lacks or 'none was looked for'}"


def _budget(timing: Latency, settings: Settings) -> str:
    """The 99th percentile of wall-clock time against the budget, in a sentence."""
    p99_ms, budget_ms = timing.p99_us / 1000, settings.gates.latency_ms
    if p99_ms <= budget_ms:
        return f"p99 {p99_ms:.2f} ms, within {budget_ms:g} ms (gates.latency_ms)"
    return (
        f"Warning: p99 {p99_ms:.2f} ms, over {budget_ms:g} ms (gates.latency_ms); "
        "other processes on the machine lengthen it, and it refuses nothing"
    )


def _evaluate_champion(
    champion: Champion, challenger: ModelMetadata, windows: WindowSet, held_out: tuple[str, ...]
) -> tuple[Evaluation | None, str]:
    """The champion's figures on the held-out windows and where they come from; None and why they cannot be compared."""
    classifier = Classifier(champion.model, threads=1)
    differing = differing_in(challenger, classifier.metadata)
    if differing:
        return None, f"version {champion.number}, not compared: made for other {' and other '.join(differing)}"
    known = sorted(champion.trained_on.intersection(held_out))
    if known:
        return None, f"version {champion.number}, not compared: it was trained on {', '.join(known)}"
    return evaluate(judge(classifier, windows, held_out)), f"version {champion.number}, on the same held-out windows"


def differing_in(one: ModelMetadata, other: ModelMetadata) -> list[str]:
    """In which of the model's input two models differ; empty: they can be compared window by window."""
    first, second = one.model_input, other.model_input
    return [name for name in first if first[name] != second[name]]


def describe(
    settings: Settings,
    fitted: Fitted,
    *,
    git_commit: str,
    data_version: str,
    split_id: str,
    runs: Runs | None = None,
    novelty: Novelty | None = None,
) -> ModelMetadata:
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
        runs=runs,
        distances=() if novelty is None else novelty.distances,
    )


def judge(
    classifier: Classifier,
    windows: WindowSet,
    subjects: tuple[str, ...],
    batch_size: int = 64,
    *,
    recordings: NDArray[np.str_] | None = None,
) -> Outcome:
    """A model file's probabilities for the labelled windows of these subjects; `recordings`: names by number."""
    chosen = windows.for_subjects(subjects)
    chosen = chosen.select(chosen.labels >= 0)
    no_features = np.empty(0, np.intp)
    return Outcome(
        labels=chosen.labels.astype(np.int64),
        probabilities=classifier.predict_each(chosen.batches(batch_size), features=no_features).probabilities,
        subjects=chosen.subjects,
        activities=classifier.metadata.activities,
        recordings=None if recordings is None else recordings[chosen.recordings],
    )


def main(arguments: list[str]) -> None:
    """Run one recipe from a file for its figures; monitoring is off, so whylogs need not be installed.

    A third argument is the folder that a drop-in network is found from.
    """
    recipe, folder, *root = arguments
    recorded = Recipe.from_json(json.loads(Path(recipe).read_text(encoding="utf-8-sig")), where=recipe)
    run(recorded, Path(folder), monitoring=Monitoring(enabled=False), root=Path(root[0]) if root else None)


if __name__ == "__main__":
    main(sys.argv[1:])
