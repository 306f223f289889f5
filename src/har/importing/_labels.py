"""Published labels and this project's activities."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from har.errors import SettingsError, UnknownActivityError


@dataclass
class Labels:
    """Which of the project's activities a label means, and how many samples carry it.

    A label is the activity of the same letters and digits, upper or lower case, or the one that `given` names; given
    as "", its samples stay unlabelled.
    """

    activities: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    samples: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, activities: tuple[str, ...], given: Mapping[str, str]) -> Labels:
        """Labels for these activities.

        Raises:
            SettingsError: `given` names an activity that the project does not have.
        """
        for label, activity in given.items():
            if activity and activity not in activities:
                raise SettingsError(
                    where=f"har import, --map {label}={activity}",
                    expected=f"an activity of har.toml: {', '.join(activities)}",
                    got=repr(activity),
                    remedy="Mend it, or add the activity to activities.names in har.toml.",
                )
        return cls(activities, dict(given))

    def activity(self, label: str) -> str | None:
        """The project's activity for a label, "" to leave it out, None if nobody says."""
        if label in self.given:
            return self.given[label]
        if label in self.activities:
            return label
        same = [name for name in self.activities if _letters(name) == _letters(label)]
        return same[0] if len(same) == 1 else None

    def translate(self, labels: pl.Series) -> pl.Series:
        """Labels to activities, String; null where unlabelled, left out or unknown. Counts the samples."""
        counted = labels.drop_nulls().value_counts()
        self.samples.update(dict(counted.iter_rows()))
        meant = {label: self.activity(label) or None for label in counted.to_series(0)}
        return labels.replace_strict(meant, default=None, return_dtype=pl.String)

    @property
    def unknown(self) -> dict[str, int]:
        """Labels that mean none of the project's activities, and their samples."""
        return {label: count for label, count in sorted(self.samples.items()) if self.activity(label) is None}

    def require_known(self) -> None:
        """Raise for labels that the project has no name for.

        Raises:
            UnknownActivityError: with every such label, and how to map it.
        """
        unknown = self.unknown
        if not unknown:
            return
        examples = []
        for label in unknown:
            close = difflib.get_close_matches(
                label.lower(), [name.lower() for name in self.activities], n=1, cutoff=0.5
            )
            meant = next((name for name in self.activities if close and name.lower() == close[0]), "ACTIVITY")
            examples.append(f"--map '{label}={meant}'")
        raise UnknownActivityError(
            where="labels",
            expected=f"activities of har.toml: {', '.join(self.activities)}",
            got=", ".join(f"{label!r} ({count:,} samples)" for label, count in unknown.items()),
            remedy=f"Say what they mean: {' '.join(examples)} (nothing after '=' leaves samples unlabelled), or add "
            "them to activities.names in har.toml. Nothing was written.",
        )


def _letters(text: str) -> str:
    return "".join(sign for sign in text.casefold() if sign.isalnum())
