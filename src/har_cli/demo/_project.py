"""The project that the demo runs in: the user's, if the embedded recordings fit it, else a separate one in `demo/`.

The project in `demo/` has the user's sensors, rate, windows and code, but the activities of the embedded recordings, so
that these do not get into the user's lake. It is a complete project: after `cd demo`, every `har` command works on it.
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
"""The embedded recordings are short: with longer windows, a day would have too few."""

_FOLDERS = ("bentos", "flows", "requirements", "src")
_FILES = ("bentofile.yaml", ".bentoignore", "prefect.yaml")


def why_elsewhere(settings: Settings) -> str:
    """Why the demo must not run in this project; "" if it can."""
    if not fits_sample(settings):
        return "Your project has other activities than the embedded recordings"
    if settings.tracking.uri:
        return "Your project stores its model versions in a database that others may use"
    if settings.artifacts is not None or not settings.location("lake").is_local:
        return "Your project keeps its lake or its models on object storage, which others may use"
    return ""


def demo_project(settings: Settings) -> Settings:
    """The settings to run the demo with; writes `demo/` if the demo must not run in this project.

    HAR_ROOT is set to that folder for flows and their processes, and MLflow stores versions there, too.

    Raises:
        SettingsError: HAR_ variables do not fit the embedded recordings.
        OSError: a file cannot be written.
    """
    if not why_elsewhere(settings):
        return settings
    root = settings.root / FOLDER
    for name in _FOLDERS:
        # Bentos are built from these folders, and a build does not follow links.
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
    """The content of har.toml in `demo/`: the user's settings, except those that the embedded recordings need."""
    content = settings.model_dump(mode="json", exclude_none=True, exclude={"paths", "tracking"})
    content["project"]["name"] += "-demo"
    content["sensors"]["further"] = []
    content["activities"] = {"names": list(SAMPLE_ACTIVITIES)}
    content["split"]["held_out"] = []
    content["windows"]["length_s"] = min(settings.windows.length_s, LONGEST_S)
    return content
