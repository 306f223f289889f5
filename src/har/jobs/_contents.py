"""What goes into a package: the champion with its predecessor, a shadow and a fallback rule, as the services read it.

It follows from the registry's aliases, so that a package can be named before anything is read or copied.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.dataset import load_windows
from har.errors import ModelMismatchError, NotEnoughDataError, RegistryError
from har.files import file_sha256
from har.inference import Classifier, MagnitudeRule, ModelMetadata, Package
from har.lake import Lake, Partition
from har.registry import Registry, Version
from har.settings import Settings
from har.windows import WindowSet

RULE_WINDOWS = 20_000
"""The fallback rule has a handful of numbers per activity: more windows than this would not change them."""

KNOWN_WINDOWS = 32
KNOWN_SAMPLES = 50_000
_SECTIONS_THAT_CUT = ("project", "sensors", "windows", "activities")


@dataclass(frozen=True)
class Choice:
    """What a package is made of.

    Attributes:
        version: the version that answers.
        previous: the one that answers when it fails, None if there is none.
        shadow: the one that looks on, None if there is none.
    """

    version: Version
    previous: Version | None
    shadow: Version | None

    def key(self, code: str) -> str:
        """`v<number>-<8 hexadecimal digits>`: equal for the same models under the same code, given by its hash."""
        parts = [[part.number, part.sha256] if part else None for part in (self.version, self.previous, self.shadow)]
        return f"v{self.version.number}-{hashlib.sha256(json.dumps([parts, code]).encode()).hexdigest()[:8]}"


def choose(registry: Registry, *, version: int | None = None, shadow: int | None = None) -> Choice:
    """Settle which versions go into a package.

    Args:
        registry: holds the versions and their aliases.
        version: the one that shall answer; None: the champion.
        shadow: the one that shall look on; None: the challenger, if there is one for the same windows.

    Raises:
        NoChampionError: no version is named, and none serves.
        UnknownVersionError: a version that is named is not registered.
        RegistryError: a version shall be its own shadow.
        ModelMismatchError: the shadow that is named is for other windows or activities.
    """
    main = registry.champion() if version is None else registry.version(version)
    if shadow == main.number:
        raise RegistryError(
            where=f"shadow {shadow}",
            expected="another version than the one that answers",
            got=f"version {main.number} as its own shadow",
            remedy="Name another: har models lists them.",
        )
    metadata = _metadata(registry, main)
    held = {alias: other for other in registry.versions() for alias in other.aliases}
    # A version that is only tried out falls back to the one that serves.
    previous = held.get("previous") if "champion" in main.aliases else held.get("champion")
    if shadow is not None:
        watching: Version | None = registry.version(shadow)
        difference = _difference(metadata, _metadata(registry, registry.version(shadow)))
        if difference:
            raise ModelMismatchError(
                where=f"version {shadow} as a shadow of version {main.number}, {difference[0]}",
                expected=str(difference[1]),
                got=str(difference[2]),
                remedy="A shadow sees the champion's requests: choose a version of the same windows and activities.",
            )
    else:
        watching = _companion(registry, main, metadata, held.get("challenger"))
    return Choice(main, _companion(registry, main, metadata, previous), watching)


def require_fit(registry: Registry, choice: Choice, settings: Settings) -> None:
    """Refuse to package a model that was made for other settings than the project's.

    Raises:
        ModelMismatchError: names what differs.
    """
    _metadata(registry, choice.version).require(where=f"model version {choice.version.number}", **settings.model_input)


def write_package(folder: Path, registry: Registry, lake: Lake, choice: Choice) -> tuple[Package, NDArray[np.float32]]:
    """Write the package's folder.

    Args:
        folder: new or empty.
        registry: gives the model files and the recipe.
        lake: holds the data that the version was trained on.
        choice: what goes in.

    Returns:
        The package, and windows float32 (N, T, C) that the model was not trained on, for a try.

    Raises:
        NotEnoughDataError: the recipe's subjects have no labelled windows in the lake.
        ModelError: a model file is gone or was changed.
    """
    version = choice.version
    recipe = registry.recipe(version.number)
    windows = training_windows(lake, recipe)
    path = registry.model_path(version.number)
    metadata = Classifier(path, threads=1).metadata
    sides: Mapping[str, list[str]] = recipe["split"]
    train = _spread(windows.for_subjects(tuple(sides["train"])), RULE_WINDOWS)
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
    )
    return package, _spread(windows.for_subjects(tuple(sides["held_out"])), KNOWN_WINDOWS).batch()


def training_windows(lake: Lake, recipe: Mapping[str, Any]) -> WindowSet:
    """The labelled windows of a recipe's data version.

    Raises:
        NotEnoughDataError: there are none.
    """
    # The other sections may have changed since the version was trained, and do not matter here.
    cutting = {name: recipe["settings"][name] for name in _SECTIONS_THAT_CUT}
    settings = Settings.from_values(cutting, root=lake.folder)
    windows = load_windows(
        lake, settings, version=recipe["lake_version"], labels_version=recipe.get("labels_version", -1)
    )
    chosen = windows.select(windows.labels >= 0)
    if not len(chosen):
        raise NotEnoughDataError(
            where=f"samples@{recipe['lake_version']}",
            expected="the labelled windows that the version was trained on",
            got="none",
            remedy="Restore the lake from a backup, or train on what it holds now: har train.",
        )
    return chosen


def known_samples(lake: Lake) -> tuple[Partition, pl.DataFrame]:
    """Some samples of the lake's latest subject-day, sorted, for a try: columns session, segment, time and channels.

    Raises:
        NotEnoughDataError: the lake is empty.
    """
    partitions = sorted(lake.contents())
    if not partitions:
        raise NotEnoughDataError(
            where=str(lake.samples.path),
            expected="ingested samples",
            got="none",
            remedy="Put files into the inbox and run `har ingest`.",
        )
    columns = ["session", "segment", "time", *lake.channels]
    ((partition, frame),) = lake.samples.each(lake.samples.version(), partitions[-1:], columns)
    return partition, frame.sort("session", "time").head(KNOWN_SAMPLES)


def code_sha256(root: Path, files: Iterable[Path]) -> str:
    """A hash of these files' names, relative to `root`, and bytes."""
    found = sorted((path.relative_to(root).as_posix(), file_sha256(path)) for path in files)
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _metadata(registry: Registry, version: Version) -> ModelMetadata:
    return Classifier(registry.model_path(version.number), threads=1).metadata


def _difference(wanted: ModelMetadata, found: ModelMetadata) -> tuple[str, object, object] | None:
    own, other = wanted.model_input, found.model_input
    return next(((name, own[name], other[name]) for name in own if own[name] != other[name]), None)


def _companion(registry: Registry, main: Version, metadata: ModelMetadata, other: Version | None) -> Version | None:
    """Another version, if it reads the same windows: one for other windows could not answer for the main one."""
    if other is None or other.number == main.number or _difference(metadata, _metadata(registry, other)):
        return None
    return other


def _spread(windows: WindowSet, count: int) -> WindowSet:
    """So many windows at most, evenly over all."""
    if len(windows) <= count:
        return windows
    return windows.select(np.linspace(0, len(windows) - 1, count).astype(np.int64))
