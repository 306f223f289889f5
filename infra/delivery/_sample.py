"""A project in another folder with the embedded recordings: this project's sensors and settings, nobody's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from har.sample import SAMPLE_ACTIVITIES, fits_sample, replay
from har.settings import Settings

LONGEST_S = 4.0
"""The embedded recordings are short: with longer windows, there would be too few."""


def sample_project(settings: Settings, root: Path, **sections: dict[str, Any]) -> Settings:
    """Settings of a project in `root` whose inbox has the embedded recordings; the environment is ignored.

    Activities, further channels and longer windows than the recordings have are replaced by those that fit.

    Args:
        settings: of the project that is delivered.
        root: an empty folder.
        sections: other values, by section: `training={"epochs": 4}`.
    """
    content = settings.model_dump(mode="json", exclude={"paths", "tracking"})
    if not fits_sample(settings):
        content["sensors"]["further"] = []
        content["activities"] = {"names": list(SAMPLE_ACTIVITIES)}
        content["windows"]["length_s"] = min(settings.windows.length_s, LONGEST_S)
    content["split"]["held_out"] = []
    for section, values in sections.items():
        content[section] |= values
    made = Settings.from_values(content, root=root)
    replay(made.path("inbox"), made)
    return made
