"""`har backup` and `har restore` as a user types them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from har.errors import BackupError, ServerError
from har.settings import Settings
from har_cli._app import app
from infra.local.server import hold_home


def test_a_backup_is_made_and_comes_back(
    settings: Settings, put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("2024-01-01", "s01", "left", "PEN")
    assert CliRunner().invoke(app, ["ingest"]).exit_code == 0
    done = CliRunner().invoke(app, ["backup", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (path,) = tmp_path.glob("*.tar")
    assert "lake: " in done.output
    assert "no history of Prefect's runs" in done.output
    assert str(path) in done.output.replace("\n", "")

    clone = tmp_path / "clone"
    clone.mkdir()
    shutil.copy(settings.root / "har.toml", clone)
    monkeypatch.setenv("HAR_ROOT", str(clone))
    with hold_home(clone / ".prefect"):
        refused = CliRunner().invoke(app, ["restore", str(path)])
    assert isinstance(refused.exception, ServerError)
    assert "runs on this folder already" in str(refused.exception)
    assert not (clone / "lake").exists()
    done = CliRunner().invoke(app, ["restore", str(path)])
    assert done.exit_code == 0, done.output
    assert "1 subject-days, 0 registered versions" in done.output.replace("\n", " ")
    again = CliRunner().invoke(app, ["restore", str(path)])
    assert isinstance(again.exception, BackupError)
