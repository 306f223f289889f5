"""Loads the models of a package and checks that they take the same windows."""

from __future__ import annotations

from typing import Any, NamedTuple

from har.inference import Classifier, Package


class Model(NamedTuple):
    """A packaged model and its number in the registry."""

    classifier: Classifier
    version: int


def load(package: Package) -> dict[str, Model]:
    """The packaged models by role: champion, and previous and shadow if there are any.

    Raises:
        ModelError: a file that cannot be served.
        ModelMismatchError: one that takes other windows, or has other activities, than the champion.
    """
    files = {
        "champion": (package.model, package.version),
        "previous": (package.previous, package.previous_version),
        "shadow": (package.shadow, package.shadow_version),
    }
    # One thread per call: a request has few windows, and parallel requests use the other cores.
    models = {role: Model(Classifier(path, threads=1), version or 0) for role, (path, version) in files.items() if path}
    champion = models["champion"].classifier.metadata
    for model in models.values():
        model.classifier.metadata.require(where=str(model.classifier.path), **champion.model_input)
    return models


def describe_models(models: dict[str, Model], *, max_windows: int) -> dict[str, Any]:
    """The answer of `GET /model`."""
    metadata = models["champion"].classifier.metadata
    versions = {role: model.version for role, model in models.items()}
    return {
        "project": metadata.project,
        "version": versions["champion"],
        "activities": metadata.activities,
        "channels": metadata.channels,
        "units": metadata.units,
        "rate_hz": metadata.rate_hz,
        "window": {
            "samples": metadata.length,
            "seconds": metadata.length / metadata.rate_hz,
            "stride_samples": metadata.stride,
        },
        "abstain_below": metadata.abstain_below,
        "network": metadata.network,
        "data_version": metadata.data_version,
        "git_commit": metadata.git_commit,
        "trained_at": metadata.trained_at,
        "previous_version": versions.get("previous"),
        "shadow_version": versions.get("shadow"),
        "max_windows": max_windows,
    }
