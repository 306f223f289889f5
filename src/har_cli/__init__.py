"""The `har` command: runs jobs, and shows and changes the registry. No job starts a server.

Little is imported here, and slow imports are made where they are used: `har --help` answers at once, and Ctrl-C ends
every import quietly.
"""

from __future__ import annotations

import os
import sys

from har_cli._endings import ending_well
from infra.local.environment import quiet_environment

os.environ.update({name: value for name, value in quiet_environment().items() if name not in os.environ})


def main() -> None:
    """Run the command line; `har_cli._endings` lists the exit statuses."""
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    with ending_well(f"har {command}".strip()):
        from har_cli._app import app

        app()
