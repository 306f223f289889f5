"""The recipe of a model: every value that decides it. Training the same recipe again gives the same model."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.errors import RegistryError
from har.windows import Split, WindowSet

SOURCES = "network.json"
"""The file of a version that has the text of a drop-in network's files, by path."""
_DECIDE_NOTHING = ("lake", "trained_to", "recordings_version", "snapshot", "snapshot_lacks")
"""Fields that say where the data are and were."""
_SECTIONS_THAT_DECIDE = ("recordings", "sensors", "windows", "activities", "split", "training")


@dataclass(frozen=True)
class Recipe:
    """The values that decide a model: settings, data version, split, seed and code.

    Attributes:
        settings: all of har.toml, as JSON values.
        lake: folder of the lake.
        lake_version: version of `samples`.
        split: subjects of each side.
        network: the network's name.
        seed: of weights, batches and augmentation.
        git_commit: of the code, "" if unknown.
        git_dirty: whether the code had uncommitted changes.
        regimes: ISO dates at which drift began that the model is trained on, oldest first.
        labels_version: version of the table `labels`; -1: there was none.
        trained_to: ISO date of the newest windows; "" in recipes of releases that did not record it.
        recordings_version: version of the table `recordings`, which lists the files; -1: not recorded.
        snapshot: DVC's hashes of the raw data in `git_commit`, by folder, if they hold all that the lake was made from.
        snapshot_lacks: otherwise why there are none, or what they lack; "" also in recipes of older releases.
        network_source: hash of the files of a drop-in network; "": the network is part of the code of `git_commit`.
    """

    settings: dict[str, Any]
    lake: str
    lake_version: int
    split: dict[str, list[str]]
    network: str
    seed: int
    git_commit: str = ""
    git_dirty: bool = False
    regimes: list[str] = field(default_factory=list)
    labels_version: int = -1
    trained_to: str = ""
    recordings_version: int = -1
    snapshot: dict[str, str] = field(default_factory=dict)
    snapshot_lacks: str = ""
    network_source: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
        """Read a recipe that this release or an older one wrote; fields that are missing get their defaults.

        A field that this release does not know is refused: it decides the model, and training would ignore it.

        Args:
            values: the fields as JSON values.
            where: what messages call the recipe, such as "recipe of version 3".

        Raises:
            RegistryError: a field is missing that has no default, or is unknown.
        """
        fields = dataclasses.fields(cls)
        unknown = sorted(set(values) - {field.name for field in fields})
        if unknown:
            raise RegistryError(
                where=where,
                expected=f"only the fields {', '.join(field.name for field in fields)}",
                got=f"{', '.join(unknown)} as well",
                remedy="A newer release wrote it: update this project.",
            )
        required = [field.name for field in fields if _has_no_default(field)]
        missing = [name for name in required if name not in values]
        if missing:
            raise RegistryError(
                where=where,
                expected=f"the fields {', '.join(required)}",
                got=f"no {', '.join(missing)}",
                remedy="Restore recipe.json from a backup, or train again: har train.",
            )
        return cls(**values)

    @property
    def data_version(self) -> str:
        """The tables and their versions, such as `samples@7`, with feedback `samples@7, labels@2`.

        Where a snapshot holds the raw data, its hash is the last part: `samples@7, dvc@77f0972ddb44`.
        """
        feedback = f", labels@{self.labels_version}" if self.labels_version >= 0 else ""
        raw = f", dvc@{self.snapshot['inbox'][:12]}" if "inbox" in self.snapshot else ""
        return f"samples@{self.lake_version}{feedback}{raw}"

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits that identify this recipe; the lake's folder is not part of it."""
        content = {name: value for name, value in self.to_json().items() if name not in _DECIDE_NOTHING}
        # Recipes of releases without these fields must keep the key that they were registered under.
        if not self.regimes:
            del content["regimes"]
        if self.labels_version < 0:
            del content["labels_version"]
        if not self.network_source:
            del content["network_source"]
        content["settings"] = {
            name: section for name, section in self.settings.items() if name in _SECTIONS_THAT_DECIDE
        }
        # Of networks with their own values, and of releases without this setting.
        if not content["settings"].get("training", {}).get("values", True):
            training = {name: value for name, value in self.settings["training"].items() if name != "values"}
            content["settings"]["training"] = training
        # The only setting of another section that is written into the model file.
        content["abstain_below"] = self.settings["scoring"]["abstain_below"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def sides(self) -> Split:
        """The split, as `har.windows` takes it."""
        return Split(**{name: tuple(subjects) for name, subjects in self.split.items()})

    def continued(self, since: dt.date | None) -> dict[str, Any]:
        """The arguments that `make_recipe` takes over from this recipe, the champion's.

        Args:
            since: first day of the drift to be trained on; None: there is none.

        Returns:
            `regimes`, those of this recipe and the new one, and `held_out`, so that both models are compared on
            subjects that neither was trained on. Empty as long as there was no drift: the settings decide.
        """
        known = [dt.date.fromisoformat(date) for date in self.regimes]
        new = [since] if since is not None and all(since > date for date in known) else []
        return {"regimes": [*known, *new], "held_out": self.split["held_out"]} if known or new else {}

    def regimes_of(self, windows: WindowSet) -> NDArray[np.int64]:
        """The regime of each window by its date, int64 (N,); 0 is the original distribution."""
        borders = np.array(self.regimes, "datetime64[D]")
        return np.asarray(np.searchsorted(borders, windows.dates, side="right"), np.int64)

    def tags(self) -> dict[str, str]:
        """The tags of the registered version."""
        return {
            "recipe_key": self.key,
            "network": self.network,
            "seed": str(self.seed),
            "data_version": self.data_version,
            "split_id": self.sides.id,
            "git_commit": self.git_commit,
            "git_dirty": str(self.git_dirty).lower(),
            **({"trained_to": self.trained_to} if self.trained_to else {}),
            **({"recordings_version": str(self.recordings_version)} if self.recordings_version >= 0 else {}),
            **{f"dvc_{folder}": oid for folder, oid in self.snapshot.items()},
            **({"network_source": self.network_source} if self.network_source else {}),
            **({"dvc_lacks": self.snapshot_lacks} if self.snapshot_lacks else {}),
        }


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
