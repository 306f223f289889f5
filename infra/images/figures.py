"""The figures of the images in `reports/images.json`: each command adds what it measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from har.errors import PackagingError
from har.files import locked, write_atomically
from har.settings import Settings
from infra.images.engine import Engine

FILE = "images.json"


def add(settings: Settings, figures: Mapping[str, Any]) -> Path:
    """Add figures to the file, in place of older ones of the same names; returns its path.

    Raises:
        PackagingError: another process holds the file for more than a minute.
    """
    path = settings.path("reports") / FILE
    busy = PackagingError(where=str(path), problem="is held by another process", remedy="Wait, then run it again.")
    with locked(path.with_suffix(".lock"), timeout_s=60, busy=busy):
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        write_atomically(path, json.dumps({**known, **figures}, indent=1) + "\n")
    return path


def sizes(engine: Engine, built: Mapping[str, str], base: str) -> dict[str, Any]:
    """Sizes of images in MB, and what online and batch have beyond the base.

    Args:
        engine: has the images.
        built: the image of each box.
        base: the base image, which the engine has, too.
    """
    base_mb = engine.size_mb(base)
    found: dict[str, Any] = {"engine": engine.name, "base_image": base, "base_image_mb": base_mb}
    for box, image in built.items():
        size = engine.size_mb(image)
        found |= {f"{box}_image": image, f"{box}_image_mb": size}
        if box != "train":
            found[f"{box}_beyond_base_mb"] = round(size - base_mb, 1)
    return found
