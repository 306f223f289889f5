"""The metadata in a model file: what is needed to serve it, and to detect settings that it was not made for."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from har.errors import ModelError, ModelMismatchError

FORMAT = 1
_PREFIX = "har."


SHARES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""The shares of held-out windows for which a model file has the distance that is exceeded by that many."""


@dataclass(frozen=True)
class Runs:
    """How long activities last and what follows them, learned from the labels of the training recordings.

    Attributes:
        mean_s: mean duration of a run of each activity, s, (K,).
        shortest_s: the duration that a tenth of its runs do not exceed, s, (K,).
        jumps: for each activity, the probability of each that follows it, (K, K); 0 on the diagonal.
        prior: share of the training windows per activity, (K,), above 0.
    """

    mean_s: tuple[float, ...]
    shortest_s: tuple[float, ...]
    jumps: tuple[tuple[float, ...], ...]
    prior: tuple[float, ...]


@dataclass(frozen=True)
class ModelMetadata:
    """The metadata inside `model.onnx`.

    Attributes:
        project: the project's name in har.toml.
        network: the network's name.
        activities: class names, in the order of the probabilities.
        channels: channel names, in the order of the window's last axis.
        units: SI unit per channel.
        rate_hz: samples per second.
        length: samples per window, T.
        stride: samples between two windows' starts, as trained.
        feature_names: names of the columns of `features`.
        temperature: the graph divides the logits by this (Guo et al. 2017).
        abstain_below: with a lower confidence, the model abstains.
        git_commit: commit of the training code, "" if unknown.
        data_version: the table and version that the model was trained on, such as "samples@7".
        split_id: id of the split by subject.
        trained_at: ISO 8601, UTC.
        runs: what smoothing needs; None in files of older releases.
        distances: for each of `SHARES` the distance from the training data that so many windows of subjects exceed who
            are not in it; empty in files of older releases.
    """

    project: str
    network: str
    activities: tuple[str, ...]
    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate_hz: float
    length: int
    stride: int
    feature_names: tuple[str, ...]
    temperature: float
    abstain_below: float
    git_commit: str
    data_version: str
    split_id: str
    trained_at: str
    runs: Runs | None = None
    distances: tuple[float, ...] = ()

    def to_properties(self) -> dict[str, str]:
        """ONNX metadata properties: a JSON value per attribute, and the number of the format."""
        values = {f"{_PREFIX}{name}": json.dumps(value) for name, value in dataclasses.asdict(self).items()}
        return {f"{_PREFIX}format": json.dumps(FORMAT), **values}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], *, where: str) -> ModelMetadata:
        """Read what `to_properties` wrote.

        Raises:
            ModelError: a property is missing, or the format differs.
        """
        written = properties.get(f"{_PREFIX}format")
        if written != json.dumps(FORMAT):
            raise ModelError(
                where=where,
                expected=f"a model file of this project, metadata format {FORMAT}",
                got=f"format {written}" if written else "no har metadata",
                remedy="Export the model with `har train`.",
            )
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            raw = properties.get(f"{_PREFIX}{field.name}")
            if raw is None and field.default is not dataclasses.MISSING:
                continue  # a file of an older release
            if raw is None:
                raise ModelError(
                    where=where,
                    expected=f"metadata {field.name!r}",
                    got="none",
                    remedy="Export the model again with `har train`.",
                )
            value = json.loads(raw)
            values[field.name] = _frozen(value)
        if isinstance(values.get("runs"), dict):
            values["runs"] = Runs(**values["runs"])
        return cls(**values)

    def unknown_beyond(self, share: float) -> float:
        """The distance from the training data beyond which `share` of the windows of unseen subjects lie.

        Between two of `SHARES` it is interpolated over the logarithm of the share; a share below the smallest counts as
        the smallest.

        Args:
            share: `scoring.unknown_share`; 0: no window is unknown.

        Returns:
            The distance; infinity where no window is unknown, or the file cannot say.
        """
        if not share > 0 or not self.distances:
            return math.inf
        return float(np.interp(math.log(share), np.log(SHARES), self.distances))

    @property
    def model_input(self) -> dict[str, Any]:
        """The attributes that models with the same windows and activities share; arguments of `require`."""
        return {name: getattr(self, name) for name in ("channels", "units", "rate_hz", "length", "activities")}

    def require(
        self,
        *,
        where: str,
        activities: tuple[str, ...],
        channels: tuple[str, ...],
        units: tuple[str, ...],
        rate_hz: float,
        length: int,
    ) -> None:
        """Check that the model was made for these settings.

        Raises:
            ModelMismatchError: it was not; names the first attribute that differs.
        """
        wanted = {"channels": channels, "units": units, "rate_hz": rate_hz, "length": length, "activities": activities}
        for name, value in wanted.items():
            if getattr(self, name) != value:
                raise ModelMismatchError(
                    where=f"{where}, {name}",
                    expected=str(value),
                    got=f"{getattr(self, name)} (a model of project {self.project!r})",
                    remedy="Use a model that was trained with this project's har.toml, or train one: har train.",
                )


def _frozen(value: Any) -> Any:
    """JSON's lists as tuples, also within others."""
    if isinstance(value, list):
        return tuple(_frozen(part) for part in value)
    if isinstance(value, dict):
        return {name: _frozen(part) for name, part in value.items()}
    return value
