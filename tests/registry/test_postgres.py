"""The registry on a real Postgres, as several machines share it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from postgres_support import postgres
from serving_support import write_settings

from har.errors import BackupError, NoChampionError
from har.project import use_tracking
from har.registry import DUMP, Registry, load_dump

pytestmark = pytest.mark.stack


@pytest.fixture
def database() -> Iterator[str]:
    with postgres() as server:
        yield server.address


@pytest.fixture
def registry(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry as har.toml's tracking.uri leads to it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # so that it is taken back
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    settings = write_settings(tmp_path)
    use_tracking(settings.model_copy(update={"tracking": settings.tracking.model_copy(update={"uri": database})}))
    assert os.environ["MLFLOW_TRACKING_URI"] == database
    return Registry(tmp_path / "mlruns", "wrist")


@pytest.mark.timeout(120)
def test_versions_and_champions_live_in_the_database(registry: Registry, register) -> None:
    with pytest.raises(NoChampionError):
        registry.champion()
    assert [register(0), register(1)] == [1, 2]
    registry.promote(1, reason="the first", who="test")
    registry.promote(2, reason="better", who="test", by_gate=True)
    # As another machine sees it, which shares the database and the folder.
    elsewhere = Registry(registry.folder, "wrist")
    assert elsewhere.champion().number == 2
    assert elsewhere.model_path(2).read_bytes() == registry.model_path(2).read_bytes()
    elsewhere.rollback(reason="worse after all", who="test")
    assert registry.champion().number == 1
    assert not list(registry.folder.glob("*.db"))


@pytest.mark.timeout(120)
def test_a_dump_comes_back_into_an_empty_database(
    registry: Registry, register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(0)
    registry.promote(1, reason="the first", who="test")
    with registry.held_still():
        registry.copy_database(tmp_path)
    with pytest.raises(BackupError, match="expected an empty database"):
        load_dump(tmp_path / DUMP)
    here = os.environ["MLFLOW_TRACKING_URI"]
    with psycopg.connect(here.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE another")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", here.replace("/postgres", "/another"))
    load_dump(tmp_path / DUMP)
    restored = Registry(registry.folder, "wrist")
    assert restored.champion().number == 1
    assert restored.verify() == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg://har@127.0.0.1:9/nowhere")
    with pytest.raises(BackupError, match=r"pg_dump failed: .*Connection refused"):
        registry.copy_database(tmp_path)
