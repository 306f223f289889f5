"""The models of a package, loaded and checked against one another."""

from __future__ import annotations

from typing import Any, NamedTuple

from har.inference import Classifier, Package


class Model(NamedTuple):
    """A packaged model and its number in the registry."""

    classifier: Classifier
    version: int


def load(package: Package) -> dict[str, Model]:
    """Champion, previous and shadow, as far as they are packaged, by their roles.

    Raises:
        ModelError: a file that cannot be served.
        ModelMismatchError: one that is not for the champion's windows.
    """
    files = {
        "champion": (package.model, package.version),
        "previous": (package.previous, package.previous_version),
        "shadow": (package.shadow, package.shadow_version),
    }
    # One thread inside a call: a request has few windows, and it is requests that run beside one another.
    models = {role: Model(Classifier(path, threads=1), version or 0) for role, (path, version) in files.items() if path}
    champion = models["champion"].classifier.metadata
    for model in models.values():
        model.classifier.metadata.require(where=str(model.classifier.path), **champion.model_input)
    return models


def describe_models(models: dict[str, Model], *, max_windows: int) -> dict[str, Any]:
    """What `GET /model` says."""
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
