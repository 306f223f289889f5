"""Accuracy, speed and size of the default network beside its peers, on the same windows and folds, in one run.

    python -m tests.bench.quality                                            the embedded sample
    python -m tests.bench.quality --data FOLDER                              and the sets of the README's table
    python -m tests.bench.quality --protocol whar-arena --import uci-hapt FOLDER    any set that `har import` reads
    python -m tests.bench.quality --root PROJECT                             the labelled recordings of a project

Writes reports/quality.json and reports/quality.html. What is done stays done (below runs/quality): an interrupted run
goes on where it ended, and another set or peer costs only what is new.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from har.errors import HarError, NotEnoughDataError
from har.files import make_folder, write_atomically
from har.lake import Lake
from har.pages import write_index
from har.settings import Settings, load_settings
from tests.bench.quality import _page
from tests.bench.quality._apart import MiniRocketPeer
from tests.bench.quality._data import Data
from tests.bench.quality._figures import row
from tests.bench.quality._measure import Progress, measure, speeds
from tests.bench.quality._peers import Peer, in_process_peers
from tests.bench.quality._protocols import PROTOCOLS
from tests.bench.quality._sets import SAMPLE, RecordingSet, imported_set, known_sets

ONLY_ARENA = {"forest-arena"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; the exit status."""
    options = _parser().parse_args(arguments)
    here = load_settings()
    kept = make_folder(here.path("runs") / "quality")
    say = Progress()
    try:
        sets = [(one.name, one.title, one.command, one.project(kept)) for one in _chosen(options)]
        if options.root:
            settings = load_settings(options.root)
            sets = [(settings.project.name, "the recordings of this project", "", settings)]
        figures: dict[str, Any] = {**_page.machine(), "seeds": options.seeds, "sets": [], "left_out": []}
        for name, title, command, settings in sets:
            for protocol in options.protocol:
                data = Data.of(name, PROTOCOLS[protocol], settings, kept)
                try:
                    with threadpool_limits(1):  # all peers are measured on one thread
                        found = _measured(data, options, kept, say)
                except NotEnoughDataError as error:  # brief activities have no window of 3 s
                    why = f"{title}, {protocol}: {error}"
                    print(f"Left out: {why}", file=sys.stderr)
                    figures["left_out"].append(why)
                    continue
                figures["sets"].append({"title": title, "command": command, **found})
        if not figures["sets"]:
            return 1
    except HarError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    reports = here.path("reports")
    written = [
        write_atomically(reports / "quality.json", json.dumps(figures, indent=1, ensure_ascii=False) + "\n"),
        write_atomically(reports / "quality.html", _page.render(figures)),
    ]
    write_index(reports, title=here.project.name)
    _page.show(figures)
    print(*written, sep="\n")
    return 0


def _measured(data: Data, options: argparse.Namespace, kept: Path, say: Progress) -> dict[str, Any]:
    peers = [peer for peer in _peers(data.settings, kept, options) if data.protocol.name in _protocols_of(peer)]
    measured = [measure(data, peer, range(options.seeds), say=say) for peer in peers]
    timed = speeds(data, measured)
    default = measured[0]
    return {
        "name": data.name,
        "protocol": data.protocol.name,
        "windows": len(data.windows),
        "subjects": len(set(data.windows.subjects.tolist())),
        "folds": len(data.folds),
        "activities": list(data.signal.activities),
        "channels": len(data.signal.channels),
        "rate_hz": data.signal.rate_hz,
        "length_s": data.signal.length / data.signal.rate_hz,
        "purity": data.settings.windows.purity,
        "lake": Lake(data.settings.location("lake"), data.settings.sensors.channels).samples.version(),
        "peers": [
            row(data, one, default, timed[one.peer.name], timed["default"]) for one in measured if not one.problem
        ],
        "missing": {one.peer.name: one.problem for one in measured if one.problem},
    }


def _peers(settings: Settings, kept: Path, options: argparse.Namespace) -> list[Peer]:
    root = None if options.network else settings.root
    networks = in_process_peers(options.network or settings.training.network, root)
    every = [*networks, MiniRocketPeer(kept / "aeon")]
    return [peer for peer in every if not options.only or peer.name in {"default", *options.only}]


def _protocols_of(peer: Peer) -> set[str]:
    return {"whar-arena"} if peer.name in ONLY_ARENA else set(PROTOCOLS)


def _chosen(options: argparse.Namespace) -> list[RecordingSet]:
    if options.root:
        return []
    if options.imported:
        layout, path = options.imported
        return [imported_set(layout, Path(path), dict(options.option or ()), dict(options.map or ()))]
    every = [SAMPLE, *(known_sets(options.data) if options.data else ())]
    return [one for one in every if not options.set or one.name in options.set]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--data", type=Path, metavar="FOLDER", help="with the Parquet files of the README's sets")
    what.add_argument("--import", dest="imported", nargs=2, metavar=("LAYOUT", "PATH"), help="as of har import")
    what.add_argument("--root", type=Path, metavar="PROJECT", help="a project with labelled recordings in its lake")
    parser.add_argument(
        "--option", "-o", action="append", type=_pair, metavar="NAME=VALUE", help="of the layout of --import"
    )
    parser.add_argument(
        "--map", action="append", type=_pair, metavar="LABEL=ACTIVITY", help="of --import, as of har import"
    )
    parser.add_argument("--set", action="append", metavar="NAME", help="of --data, or sample: only this one")
    parser.add_argument("--protocol", nargs="+", choices=PROTOCOLS, default=["ours"])
    parser.add_argument("--network", help="to be compared as the default; as in har.toml")
    parser.add_argument("--only", nargs="+", metavar="PEER", help="only these, beside the default")
    parser.add_argument("--seeds", type=int, default=3)
    return parser


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, but got {text!r}")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
