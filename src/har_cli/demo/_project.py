"""Which project the demo runs in: this one, if sample and versions belong in it, else one of its own in `demo/`.

The project in `demo/` has this one's sensors, rate, windows and code, and the sample's activities, so that a lake of
other recordings never meets them. It is a whole project: `cd demo` and every `har` command speaks of it.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

import tomli_w

from har.files import write_atomically
from har.sample import SAMPLE_ACTIVITIES, fits_sample
from har.settings import FILE_NAME, Settings, load_settings

FOLDER = "demo"
LONGEST_S = 4.0
"""The sample's recordings are short: of longer windows, its days would hold too few."""

_FOLDERS = ("bentos", "flows", "requirements", "src")
_FILES = ("bentofile.yaml", ".bentoignore", "prefect.yaml")


def why_elsewhere(settings: Settings) -> str:
    """Why the demo has to leave this project alone; empty if it need not."""
    if not fits_sample(settings):
        return "Your project is about other activities than the embedded sample"
    if settings.tracking.uri:
        return "Your project keeps its versions in a database that others may share"
    return ""


def demo_project(settings: Settings) -> Settings:
    """The settings to run the demo with; writes `demo/` where the project is to be left alone.

    HAR_ROOT leads flows and what they start to the folder, and MLflow keeps the versions there too.

    Raises:
        SettingsError: HAR_ variables do not fit the sample.
        OSError: the disk refuses.
    """
    if not why_elsewhere(settings):
        return settings
    root = settings.root / FOLDER
    for name in _FOLDERS:
        # The bentos are built from it, and a build takes real folders.
        shutil.copytree(
            settings.root / name, root / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
        )
    for name in _FILES:
        shutil.copyfile(settings.root / name, root / name)
    write_atomically(root / FILE_NAME, tomli_w.dumps(_content(settings)))
    os.environ["HAR_ROOT"] = str(root)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return load_settings(root)


def _content(settings: Settings) -> dict[str, Any]:
    """What har.toml in `demo/` says: as here, but what has to be the sample's."""
    content = settings.model_dump(mode="json", exclude_none=True, exclude={"paths", "tracking"})
    content["project"]["name"] += "-demo"
    content["sensors"]["further"] = []
    content["activities"] = {"names": list(SAMPLE_ACTIVITIES)}
    content["split"]["held_out"] = []
    content["windows"]["length_s"] = min(settings.windows.length_s, LONGEST_S)
    return content
