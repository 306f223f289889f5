"""The content of a package: the champion, its predecessor, a shadow model and a fallback rule.

The registry's aliases decide it, so that a package's name is known before anything is read or copied.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.dataset import load_windows
from har.errors import ModelMismatchError, NotEnoughDataError, RegistryError
from har.files import file_sha256
from har.inference import Classifier, MagnitudeRule, ModelMetadata, Package
from har.jobs.card import card_of
from har.lake import Lake, Partition
from har.recipe import Recipe
from har.registry import Registry, Version
from har.settings import Settings
from har.windows import WindowSet

RULE_WINDOWS = 20_000
"""Fit the fallback rule to at most this many windows: it has few parameters, and more windows hardly change them."""

KNOWN_WINDOWS = 32
KNOWN_SAMPLES = 50_000
_SECTIONS_THAT_CUT = ("project", "sensors", "windows", "activities")


@dataclass(frozen=True)
class Choice:
    """The model versions of a package.

    Attributes:
        version: the version that answers.
        previous: the version that answers if that one fails; None: there is none.
        shadow: the shadow model; None: there is none.
    """

    version: Version
    previous: Version | None
    shadow: Version | None

    def key(self, code: str) -> str:
        """`v<number>-<8 hexadecimal digits>`, a function of the models and of `code`, the code's hash."""
        parts = [[part.number, part.sha256] if part else None for part in (self.version, self.previous, self.shadow)]
        return f"v{self.version.number}-{hashlib.sha256(json.dumps([parts, code]).encode()).hexdigest()[:8]}"


def choose(registry: Registry, *, version: int | None = None, shadow: int | None = None) -> Choice:
    """Choose the versions of a package.

    Args:
        registry: has the versions and their aliases.
        version: the version that answers; None: the champion.
        shadow: the shadow model; None: the challenger, if it takes the same windows.

    Raises:
        NoChampionError: no version is given, and there is no champion.
        UnknownVersionError: a given version is not registered.
        RegistryError: `version` and `shadow` are the same.
        ModelMismatchError: `shadow` takes other windows or has other activities.
    """
    main = registry.champion() if version is None else registry.version(version)
    if shadow == main.number:
        raise RegistryError(
            where="package, shadow",
            problem=f"version {shadow} cannot be its own shadow",
            remedy="Choose another version: har models lists them.",
        )
    metadata = _metadata(registry, main)
    by_alias = {alias: other for other in registry.versions() for alias in other.aliases}
    # A version that is packaged for a test falls back to the champion.
    previous = by_alias.get("previous") if "champion" in main.aliases else by_alias.get("champion")
    if shadow is not None:
        observer: Version | None = registry.version(shadow)
        difference = _difference(metadata, _metadata(registry, registry.version(shadow)))
        if difference:
            raise ModelMismatchError(
                where=f"version {shadow} as a shadow of version {main.number}, {difference[0]}",
                expected=str(difference[1]),
                got=str(difference[2]),
                remedy="A shadow model gets the same requests: choose a version with the same windows and activities.",
            )
    else:
        observer = _companion(registry, main, metadata, by_alias.get("challenger"))
    return Choice(main, _companion(registry, main, metadata, previous), observer)


def require_fit(registry: Registry, choice: Choice, settings: Settings) -> None:
    """Refuse to package a model that was made for other settings than the project's.

    Raises:
        ModelMismatchError: names the setting.
    """
    _metadata(registry, choice.version).require(where=f"model version {choice.version.number}", **settings.model_input)


def write_package(folder: Path, registry: Registry, lake: Lake, choice: Choice) -> tuple[Package, NDArray[np.float32]]:
    """Write the package's folder.

    Args:
        folder: new or empty.
        registry: has the model files and the recipe.
        lake: has the data that the version was trained on.
        choice: the versions.

    Returns:
        The package, and windows float32 (N, T, C) that the model was not trained on, to test the bento with.

    Raises:
        NotEnoughDataError: the lake has no labelled windows of the recipe's data version.
        ModelError: a model file is missing or was changed.
    """
    version = choice.version
    recipe = registry.recipe(version.number)
    windows = training_windows(lake, recipe)
    path = registry.model_path(version.number)
    metadata = Classifier(path, threads=1).metadata
    train = _spread(windows.for_subjects(recipe.sides.train), RULE_WINDOWS)
    rule = MagnitudeRule.fit(train.batch(), train.labels, units=metadata.units, activities=metadata.activities)

    def file(part: Version | None) -> tuple[Path, int] | None:
        return None if part is None else (registry.model_path(part.number), part.number)

    package = Package.write(
        folder,
        model=path,
        version=version.number,
        previous=file(choice.previous),
        shadow=file(choice.shadow),
        rule=rule,
        card=card_of(registry, version.number),
    )
    return package, _spread(windows.for_subjects(recipe.sides.held_out), KNOWN_WINDOWS).batch()


def training_windows(lake: Lake, recipe: Recipe) -> WindowSet:
    """The labelled windows of a recipe's data version.

    Raises:
        NotEnoughDataError: there are none.
    """
    # Only these sections matter; the format of the others may have changed since the version was trained.
    cutting = {name: recipe.settings[name] for name in _SECTIONS_THAT_CUT}
    settings = Settings.from_values(cutting, root=Path())
    windows = load_windows(lake, settings, version=recipe.lake_version, labels_version=recipe.labels_version)
    chosen = windows.select(windows.labels >= 0)
    if not len(chosen):
        raise NotEnoughDataError(
            where=f"samples@{recipe.lake_version}",
            expected="the labelled windows that the version was trained on",
            got="none",
            remedy="Restore the lake from a backup, or train on what it holds now: har train.",
        )
    return chosen


def known_samples(lake: Lake) -> tuple[Partition, pl.DataFrame]:
    """Samples of the lake's latest subject-day to test a bento with: session, segment, time and channels, sorted.

    Raises:
        NotEnoughDataError: the lake is empty.
    """
    lake.require_samples()
    partitions = sorted(lake.contents())
    columns = ["session", "segment", "time", *lake.channels]
    ((partition, frame),) = lake.samples.each(lake.samples.version(), partitions[-1:], columns)
    return partition, frame.sort("session", "time").head(KNOWN_SAMPLES)


def code_sha256(root: Path, files: Iterable[Path]) -> str:
    """A hash of these files' names, relative to `root`, and bytes."""
    hashes = sorted((path.relative_to(root).as_posix(), file_sha256(path)) for path in files)
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


def _metadata(registry: Registry, version: Version) -> ModelMetadata:
    return Classifier(registry.model_path(version.number), threads=1).metadata


def _difference(wanted: ModelMetadata, found: ModelMetadata) -> tuple[str, object, object] | None:
    ours, theirs = wanted.model_input, found.model_input
    return next(((name, ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]), None)


def _companion(registry: Registry, main: Version, metadata: ModelMetadata, other: Version | None) -> Version | None:
    """`other`, if it takes the same windows as the main version and so can answer in its place; else None."""
    if other is None or other.number == main.number or _difference(metadata, _metadata(registry, other)):
        return None
    return other


def _spread(windows: WindowSet, count: int) -> WindowSet:
    """At most `count` windows, evenly spaced over all."""
    if len(windows) <= count:
        return windows
    return windows.select(np.linspace(0, len(windows) - 1, count).astype(np.int64))
