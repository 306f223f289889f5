"""Write Alertmanager's configuration, from `[alerts]` of har.toml: `python -m infra.kubernetes.alerts`, once."""

from __future__ import annotations

from har.files import write_atomically
from har.settings import load_settings
from infra.compose.inside._entry import run
from infra.compose.inside.exporter import ALERTS, SECRETS
from infra.observability.alertmanager import configuration


def main() -> None:
    """Write it into the volume that both containers have.

    Raises:
        SettingsError: har.toml or a secret cannot be read.
    """
    write_atomically(ALERTS, configuration(load_settings(), secrets=SECRETS))


if __name__ == "__main__":
    run(main)
