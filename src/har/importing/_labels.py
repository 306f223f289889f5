"""Map published labels to this project's activities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from har.errors import SettingsError, UnknownActivityError, closest


@dataclass
class Labels:
    """The project's activity for each label, and the number of samples with it.

    A label maps to the activity that `given` names, or to the one with the same letters and digits, ignoring case.
    Samples whose label `given` maps to "" stay unlabelled.
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
                    remedy="Fix the name, or add the activity to activities.names in har.toml.",
                )
        return cls(activities, dict(given))

    def activity(self, label: str) -> str | None:
        """The project's activity for a label, "" if its samples stay unlabelled, None if the label is unknown."""
        if label in self.given:
            return self.given[label]
        if label in self.activities:
            return label
        same = [name for name in self.activities if _letters(name) == _letters(label)]
        return same[0] if len(same) == 1 else None

    def translate(self, labels: pl.Series) -> pl.Series:
        """Map labels to activities, String, null where unlabelled or unknown; add up the samples of each label."""
        counted = labels.drop_nulls().value_counts()
        self.samples.update(dict(counted.iter_rows()))
        activities = {label: self.activity(label) or None for label in counted.to_series(0)}
        return labels.replace_strict(activities, default=None, return_dtype=pl.String)

    @property
    def unknown(self) -> dict[str, int]:
        """Number of samples by label, for labels that map to no activity."""
        return {label: count for label, count in sorted(self.samples.items()) if self.activity(label) is None}

    def require_known(self) -> None:
        """Refuse unknown labels.

        Raises:
            UnknownActivityError: there are unknown labels; the message lists them all and how to map them.
        """
        unknown = self.unknown
        if not unknown:
            return
        examples = [f"--map '{label}={closest(label, self.activities, cutoff=0.5) or 'ACTIVITY'}'" for label in unknown]
        raise UnknownActivityError(
            where="labels",
            expected=f"activities of har.toml: {', '.join(self.activities)}",
            got=", ".join(f"{label!r} ({count:,} samples)" for label, count in unknown.items()),
            remedy=f"Map them: {' '.join(examples)} (nothing after '=' leaves samples unlabelled), or add them to "
            "activities.names in har.toml. Nothing was written.",
        )


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
