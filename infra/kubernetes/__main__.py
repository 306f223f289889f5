"""Commands: `python -m infra.kubernetes write STAGE`, `… secrets STAGE`, `… status`, `… scale N`, `… lint`.

Exit status: 0 done, 1 the cluster does not answer or has not what is needed, 2 refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from har.errors import HarError, SettingsError
from har.settings import Settings, load_settings
from infra.compose.secret_files import make_secrets
from infra.kubernetes import live
from infra.kubernetes.cluster import Cluster
from infra.kubernetes.lint import lint
from infra.kubernetes.place import serving
from infra.kubernetes.write import BOXES, COMPONENTS, STAGES, Order, namespace, write


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    commands = {"write": _write, "secrets": _secrets, "status": _status, "scale": _scale, "lint": _lint}
    try:
        commands[options.command](load_settings(), options)
    except HarError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    return 0


def _write(settings: Settings, options: argparse.Namespace) -> None:
    images = {box: getattr(options, box) or _built(settings, box) for box in BOXES}
    found = live.read(Cluster.open()) if options.live else None
    order = Order(
        options.stage,
        images,
        blue=found.images["blue"] if found else "",
        green=found.images["green"] if found else "",
        further=options.component,
        live=found.patch if found else {},
    )
    folder = options.to or settings.root / "build" / "kubernetes" / options.stage
    write(settings, order, folder)
    print(f"{folder}: next, kubectl apply --server-side -k {folder}", file=sys.stderr)


def _secrets(settings: Settings, options: argparse.Namespace) -> None:
    folder = settings.root / ".kubernetes" / options.stage / "secrets"
    make_secrets(folder)
    print(f"kubectl -n {namespace(settings, options.stage)} create secret generic project --from-file={folder}")


def _status(settings: Settings, _options: argparse.Namespace) -> None:
    print(json.dumps(asdict(serving(settings).now()), indent=1))


def _scale(settings: Settings, options: argparse.Namespace) -> None:
    serving(settings).scale(options.replicas)
    print(f"Each version that serves has {options.replicas} replicas and more from now on.")


def _lint(settings: Settings, options: argparse.Namespace) -> None:
    lint(settings, options.to)


def _built(settings: Settings, box: str) -> str:
    """The image that was built last, as `make images` has noted it; "" if none was."""
    path = settings.path("reports") / "images.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return str(known.get(f"{box}_image", ""))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.kubernetes", description="The project in Kubernetes.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = commands.add_parser("write", help="put names and images into an overlay: build/kubernetes/STAGE")
    made.add_argument("stage", metavar="STAGE", help=" or ".join(STAGES))
    for box in BOXES:
        made.add_argument(f"--{box}", default="", metavar="NAME:TAG", help="image; by default the one built last")
    made.add_argument(
        "--component", action="append", default=[], metavar="NAME", help=f"besides: {', '.join(COMPONENTS)}; again"
    )
    made.add_argument("--live", action="store_true", help="keep what the cluster of kubectl's context serves now")
    made.add_argument("--to", type=Path, help="another folder")
    kept = commands.add_parser("secrets", help="make the secrets, once, and print how the cluster gets them")
    kept.add_argument("stage", metavar="STAGE")
    commands.add_parser("status", help="what is served in kubectl's context, as JSON")
    scaled = commands.add_parser("scale", help="how many replicas each version has at least")
    scaled.add_argument("replicas", type=int, metavar="N")
    checked = commands.add_parser("lint", help="render every overlay, and refuse what Kubernetes does not know")
    checked.add_argument("--to", type=Path, help="keep the rendered manifests in this folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
