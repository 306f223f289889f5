"""The exporter of the stack: it writes Alertmanager's configuration, then serves the project's figures on 9101."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from har.files import write_atomically
from har.settings import load_settings
from infra.compose.inside._client import client_environment
from infra.compose.inside._entry import run
from infra.observability.alertmanager import configuration
from infra.observability.exporter import main as export

ALERTS = Path("/srv/alerts/alertmanager.yml")
SECRETS = Path("/run/alerts")
"""In Alertmanager's container: the folder with `mail_password` and `webhook_token`."""


def main() -> None:
    """Write the configuration, and serve until it is asked to end.

    Raises:
        SettingsError: har.toml or a secret cannot be read.
        SystemExit: with the exporter's exit status.
    """
    os.environ.update(client_environment())
    write_atomically(ALERTS, configuration(load_settings(), secrets=SECRETS))
    raise SystemExit(export(["--bind", "0.0.0.0", "--port", "9101"]))  # noqa: S104  in a container


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run(main)
