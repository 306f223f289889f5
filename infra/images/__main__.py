"""Build the images: `python -m infra.images [train] [online] [batch]`; `make images` builds all three.

Standard output has one image name a line. Sizes go to `reports/images.json`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bentos.base import BASE
from har.settings import load_settings
from infra.images import figures
from infra.images.build import BOXES, Order, build_box, build_train
from infra.images.ending import refusals
from infra.images.engine import ENGINES, find_engine


def _arguments() -> argparse.Namespace:
    variable = os.environ.get
    parser = argparse.ArgumentParser(prog="python -m infra.images", description="Build container images.")
    parser.add_argument("boxes", nargs="*", metavar="BOX", help=f"{', '.join(BOXES)}; by default all")
    parser.add_argument("--store", type=Path, help="BentoML's home with the bentos; by default the project's")
    parser.add_argument("--tag", default="", help="version of the bentos; by default the newest")
    parser.add_argument("--engine", default="", help=f"{', '.join(ENGINES)}; by default the first that answers")
    parser.add_argument("--base", default=variable("BASE", ""), help="base image; by default the pinned one")
    parser.add_argument(
        "--prefix", default=variable("PREFIX"), help="registry.example.org/team; by default images.registry"
    )
    parser.add_argument("--torch", default=variable("TORCH") or "cpu", help="build of PyTorch: cpu, cu130 …")
    parser.add_argument("--network", default=variable("IMAGE_NETWORK", ""), help="of the build, such as host")
    options = parser.parse_args()
    strangers = sorted(set(options.boxes) - set(BOXES))
    if strangers:
        parser.error(f"expected {', '.join(BOXES)}, but got {', '.join(strangers)}")
    return options


def main() -> None:
    """Build the images that were asked for."""
    options = _arguments()
    with refusals():
        settings = load_settings()
        engine = find_engine(options.engine, first=settings.images.engine)
        prefix = settings.images.registry if options.prefix is None else options.prefix
        order = Order(settings, engine, options.base, prefix, options.torch, options.network)
        store = (options.store or settings.path("bentoml")).resolve()
        built = {}
        for box in options.boxes or BOXES:
            print(f"Building the {box} image with {engine.name} …", file=sys.stderr, flush=True)
            built[box] = build_train(order) if box == "train" else build_box(order, box, store, options.tag)
            print(built[box], flush=True)
        if engine.runs:
            found = figures.sizes(engine, built, options.base or BASE)
            print(f"Sizes: {figures.add(settings, found)}", file=sys.stderr)


if __name__ == "__main__":
    main()
