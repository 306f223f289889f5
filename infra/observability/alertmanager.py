"""The configuration of Alertmanager: whom it tells of the alerts, made from the settings (`[alerts]` in har.toml).

Passwords and tokens stay in files of their own, which Alertmanager reads itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from har.settings import Settings

_WAIT, _MORE, _AGAIN, _AGAIN_TICKETS = "10s", "5m", "4h", "24h"


def has_receivers(settings: Settings) -> bool:
    """Whether the settings name somebody to tell."""
    return bool(settings.alerts.webhook or settings.alerts.mail)


def configuration(settings: Settings, *, secrets: Path | None = None) -> str:
    """The text of `alertmanager.yml`; without a receiver, alerts are kept and shown, and nobody is told.

    Alerts of severity `page` are repeated after four hours, the others after a day. While the service answers nobody,
    alerts that only follow from that are not sent; nor are those of a slow burn during a fast one.

    Args:
        settings: the project's.
        secrets: a folder in which the files of the password and the token have the names `mail_password` and
            `webhook_token`; None: they are where the settings say.
    """
    alerts = settings.alerts
    receiver: dict[str, Any] = {"name": "people"}
    if alerts.webhook:
        webhook: dict[str, Any] = {"url": alerts.webhook, "send_resolved": True}
        if alerts.webhook_token_file:
            token = _file(settings, alerts.webhook_token_file, secrets, "webhook_token")
            webhook["http_config"] = {"authorization": {"type": "Bearer", "credentials_file": token}}
        receiver["webhook_configs"] = [webhook]
    if alerts.mail:
        receiver["email_configs"] = [_mail(settings, address, secrets) for address in alerts.mail]
    content = {
        "route": {
            "receiver": "people",
            "group_by": ["alertname", "project"],
            "group_wait": _WAIT,
            "group_interval": _MORE,
            "repeat_interval": _AGAIN_TICKETS,
            "routes": [{"matchers": ['severity="page"'], "receiver": "people", "repeat_interval": _AGAIN}],
        },
        "inhibit_rules": [
            {
                "source_matchers": ['alertname="OnlineDown"'],
                "target_matchers": ['alertname=~"AvailabilityBurns.*|OnlineSaturated|ReplicaDown|ProxyDown"'],
            },
            {
                "source_matchers": ['alertname=~"AvailabilityBurnsFast|LatencyBurnsFast"'],
                "target_matchers": ['alertname=~"(Availability|Latency)Burns(Slowly)?"'],
                "equal": ["objective"],
            },
        ],
        "receivers": [receiver],
    }
    return str(yaml.safe_dump(content, sort_keys=False))


def command(program: str, file: Path, data: Path, address: str) -> list[str]:
    """How Alertmanager is started.

    Args:
        program: its path.
        file: the configuration.
        data: the folder of its silences.
        address: the `host:port` to listen on.
    """
    return [
        program,
        f"--config.file={file}",
        f"--storage.path={data}",
        f"--web.listen-address={address}",
        # It is alone; else it listens on 9094 for others, on all addresses.
        "--cluster.listen-address=",
        "--log.level=warn",
    ]


def _mail(settings: Settings, address: str, secrets: Path | None) -> dict[str, Any]:
    alerts = settings.alerts
    mail: dict[str, Any] = {
        "to": address,
        "from": alerts.mail_from,
        "smarthost": alerts.smtp,
        "require_tls": alerts.smtp_tls,
        "send_resolved": True,
    }
    if alerts.smtp_user:
        mail["auth_username"] = alerts.smtp_user
        mail["auth_password_file"] = _file(settings, alerts.smtp_password_file, secrets, "mail_password")
    return mail


def _file(settings: Settings, path: Path, secrets: Path | None, name: str) -> str:
    return str(settings.root / path if secrets is None else secrets / name)
