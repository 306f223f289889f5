"""The metadata in a model file: what is needed to serve it, and to detect settings that it was not made for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from har.errors import ModelError, ModelMismatchError

FORMAT = 1
_PREFIX = "har."


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
        values: dict[str, object] = {}
        for field in dataclasses.fields(cls):
            raw = properties.get(f"{_PREFIX}{field.name}")
            if raw is None:
                raise ModelError(
                    where=where,
                    expected=f"metadata {field.name!r}",
                    got="none",
                    remedy="Export the model again with `har train`.",
                )
            value = json.loads(raw)
            values[field.name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)  # type: ignore[arg-type]

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
