"""Everything that decides a model, as plain values: the same recipe gives the same model."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.windows import Split, WindowSet

_SECTIONS_THAT_DECIDE = ("recordings", "sensors", "windows", "activities", "split", "training")


@dataclass(frozen=True)
class Recipe:
    """What decides a model: settings, data version, split, seed and code.

    Attributes:
        settings: all of har.toml, as JSON values.
        lake: folder of the tables.
        lake_version: version of `samples`.
        split: subjects of each side.
        network: the network's name.
        seed: of weights, batches and augmentation.
        git_commit: of the code, "" if unknown.
        git_dirty: whether the code had changes that are in no commit.
        regimes: ISO dates at which a new distribution began, oldest first: drift that a model was trained on after.
        labels_version: version of `labels`, the feedback; -1: none.
        trained_to: ISO date of the newest windows; "" in recipes that did not record it.
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

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return dict(vars(self))

    @property
    def data_version(self) -> str:
        """The tables and their versions, such as `samples@7`, or `samples@7, labels@2` with feedback."""
        feedback = f", labels@{self.labels_version}" if self.labels_version >= 0 else ""
        return f"samples@{self.lake_version}{feedback}"

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits that name exactly this recipe; where things lie does not count."""
        content = {name: value for name, value in self.to_json().items() if name not in ("lake", "trained_to")}
        # Recipes from before there were these keep the key that they were registered under.
        if not self.regimes:
            del content["regimes"]
        if self.labels_version < 0:
            del content["labels_version"]
        content["settings"] = {
            name: section for name, section in self.settings.items() if name in _SECTIONS_THAT_DECIDE
        }
        # The one setting of another section that is written into the model file.
        content["abstain_below"] = self.settings["scoring"]["abstain_below"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def sides(self) -> Split:
        """The split, as `har.windows` knows it."""
        return Split(**{name: tuple(subjects) for name, subjects in self.split.items()})

    def continued(self, since: dt.date | None) -> dict[str, Any]:
        """What `make_recipe` takes over from the champion's recipe.

        Args:
            since: first day of a drift to be trained on; None: there is none.

        Returns:
            `regimes`, those of this recipe and the new one; and `held_out`, so that the champion can be met on the
            subjects that it does not know. Nothing as long as there was no drift: the settings decide.
        """
        known = [dt.date.fromisoformat(date) for date in self.regimes]
        new = [since] if since is not None and all(since > date for date in known) else []
        return {"regimes": [*known, *new], "held_out": self.split["held_out"]} if known or new else {}

    def regimes_of(self, windows: WindowSet) -> NDArray[np.int64]:
        """Which distribution each window is from, by its date; 0 is the original one, int64 (N,)."""
        borders = np.array(self.regimes, "datetime64[D]")
        return np.asarray(np.searchsorted(borders, windows.dates, side="right"), np.int64)

    def tags(self) -> dict[str, str]:
        """What a registered version is looked up by."""
        return {
            "recipe_key": self.key,
            "network": self.network,
            "seed": str(self.seed),
            "data_version": self.data_version,
            "split_id": self.sides.id,
            "git_commit": self.git_commit,
            "git_dirty": str(self.git_dirty).lower(),
            **({"trained_to": self.trained_to} if self.trained_to else {}),
        }
