"""Run the online service of a folder alone, as `make up` does with all others: it follows what is released there.

    python -m infra.delivery.online.site [FOLDER] [--port 3000]

For a machine that serves and does nothing else. The service is started again when it ends, and replaced without a gap;
where HAProxy is installed, its replicas run behind it.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path

from har.settings import load_settings
from infra.delivery._step import run_step
from infra.delivery.online.release import say
from infra.local.part import tell_once
from infra.local.ports import Ports
from infra.local.server import sigterm_ends_blocks
from infra.serving.online import online

_POLL_S = 0.2


def run_site(folder: Path | None, port: int) -> int:
    """Run the service until Ctrl-C or SIGTERM; returns 0.

    Raises:
        ServerError: the port is in use.
    """
    settings = load_settings(folder)
    try:
        with sigterm_ends_blocks(), ExitStack() as stack:
            logs = settings.path("bentoml") / "logs"
            part = online(settings, Ports(online=port), logs, tell_once(say), stack)
            stack.callback(part.stop)
            say(f"The online service of {settings.root}: {part.address}")
            while True:
                part.tick()
                time.sleep(_POLL_S)
    except (KeyboardInterrupt, SystemExit):
        say("Stopped.")
        return 0


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="with har.toml; by default this project's")
    parser.add_argument("--port", type=int, default=3000, help="0: any free one")
    options = parser.parse_args()
    return run_site(options.folder, options.port)


if __name__ == "__main__":
    run_step(_main)
