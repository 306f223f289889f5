"""The configuration of Alertmanager, as its own tool reads it; a running one is tried in test_system.py."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_cases import CASES

from har.errors import SettingsError
from har.settings import Settings, load_settings
from infra.observability.alertmanager import configuration, has_receivers

needs_amtool = pytest.mark.skipif(
    not shutil.which("amtool"), reason="needs amtool (apt-get install prometheus-alertmanager)"
)
MAIL = """
[alerts]
webhook = "https://chat.example.org/hook"
webhook_token_file = "data/webhook-token"
mail = ["one@example.org", "two@example.org"]
mail_from = "har@example.org"
smtp = "mail.example.org:587"
smtp_user = "har"
"""


def with_alerts(project: Path, text: str) -> Settings:
    with (project / "har.toml").open("a") as toml:
        toml.write(text)
    return load_settings(project)


def checked(text: str, folder: Path) -> dict[str, Any]:
    file = folder / "alertmanager.yml"
    file.write_text(text)
    done = subprocess.run(["amtool", "check-config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    content: dict[str, Any] = yaml.safe_load(text)
    return content


@needs_amtool
def test_mail_and_webhook_with_secrets_in_files(project: Path) -> None:
    settings = with_alerts(project, MAIL)
    for name in ("mail-password", "webhook-token"):
        (project / "data").mkdir(exist_ok=True)
        (project / "data" / name).write_text(f"secret of {name}")
    assert has_receivers(settings)
    text = configuration(settings)
    assert "secret of" not in text
    (receiver,) = checked(text, project)["receivers"]
    assert [mail["to"] for mail in receiver["email_configs"]] == ["one@example.org", "two@example.org"]
    assert receiver["email_configs"][0]["auth_password_file"] == str(project / "data" / "mail-password")
    (webhook,) = receiver["webhook_configs"]
    assert webhook["http_config"]["authorization"]["credentials_file"] == str(project / "data" / "webhook-token")
    # In a container, the files have names of their own.
    (inside,) = yaml.safe_load(configuration(settings, secrets=Path("/run/alerts")))["receivers"]
    assert Path(inside["email_configs"][0]["auth_password_file"]) == Path("/run/alerts") / "mail_password"


@needs_amtool
def test_without_a_receiver_nobody_is_told(settings: Settings, tmp_path: Path) -> None:
    assert not has_receivers(settings)
    assert checked(configuration(settings), tmp_path)["receivers"] == [{"name": "people"}]


def test_alerts_that_follow_from_others_are_alerts_that_exist(settings: Settings) -> None:
    names = [alert for cases in CASES.values() for alert in cases]
    for rule in yaml.safe_load(configuration(settings))["inhibit_rules"]:
        for matchers in (rule["source_matchers"], rule["target_matchers"]):
            pattern = re.search(r'"(.*)"', matchers[0])
            assert pattern and [name for name in names if re.fullmatch(pattern[1], name)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[alerts]\nmail = ["a@example.org"]\n', "smtp and mail_from"),
        ('[alerts]\nwebhook = "https://user:secret@chat.example.org"\n', "an address without a password"),
        ('[alerts]\nmail = ["nobody"]\n', "alerts.mail"),
    ],
)
def test_settings_that_cannot_work_are_refused(project: Path, text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        with_alerts(project, text)
