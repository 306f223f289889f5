"""Secrets: private from the first moment, and never replaced in silence."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from har.errors import SettingsError
from infra.compose.inside._secrets import allowed_hosts, database, secret
from infra.compose.secret_files import FOR_PEOPLE, NAMES, check_secrets, copy_for_people, make_secrets, renew_secrets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    before = os.umask(0o022)
    try:
        make_secrets(tmp_path / "secrets")
    finally:
        os.umask(before)
    return tmp_path / "secrets"


def test_they_are_made_for_their_owner_alone_and_differ(folder: Path) -> None:
    check_secrets(folder)
    values = {name: (folder / name).read_text() for name in NAMES}
    assert len(set(values.values())) == len(NAMES) and all(len(value) > 30 for value in values.values())
    for path in (*(folder / name for name in NAMES), *(copy_for_people(folder, name) for name in FOR_PEOPLE)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    make_secrets(folder)
    assert values == {name: (folder / name).read_text() for name in NAMES}


def test_people_get_a_copy_of_what_they_need(folder: Path) -> None:
    for name in FOR_PEOPLE:
        assert copy_for_people(folder, name).read_text() == (folder / name).read_text()
    assert not copy_for_people(folder, "postgres_password").exists()
    assert (folder / "login").read_text().startswith("har:")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
@pytest.mark.parametrize("name", NAMES)
def test_an_open_one_is_refused_and_the_message_closes_it(folder: Path, name: str, mode: int) -> None:
    (folder / name).chmod(mode)
    with pytest.raises(SettingsError, match=f"mode {mode:o}") as caught:
        check_secrets(folder)
    assert f"chmod go= {folder / name}" in str(caught.value)
    (folder / name).chmod(0o600)
    check_secrets(folder)


def test_an_open_folder_is_refused(folder: Path) -> None:
    folder.chmod(0o755)
    with pytest.raises(SettingsError, match="expected mode 700"):
        check_secrets(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_one_is_named_and_not_replaced(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(SettingsError, match=f"no {name}") as caught:
        check_secrets(folder)
    assert f"renew {name}" in caught.value.remedy and not (folder / name).exists()
    renew_secrets(folder, [name])
    check_secrets(folder)


def test_an_empty_one_and_a_link_are_refused(folder: Path) -> None:
    (folder / "login").write_text("")
    with pytest.raises(SettingsError, match="an empty file"):
        check_secrets(folder)
    (folder / "login").unlink()
    (folder / "login").symlink_to(folder / "feedback_token")
    with pytest.raises(SettingsError, match="a link"):
        check_secrets(folder)


def test_renewing_replaces_the_named_one_only(folder: Path) -> None:
    before = {name: (folder / name).read_text() for name in NAMES}
    renew_secrets(folder, ["login"])
    changed = [name for name in NAMES if (folder / name).read_text() != before[name]]
    assert changed == ["login"] and copy_for_people(folder, "login").read_text() == (folder / "login").read_text()
    with pytest.raises(SettingsError, match="'logn'"):
        renew_secrets(folder, ["logn"])


def test_a_service_says_which_secret_it_lacks(folder: Path) -> None:
    (folder / "login").unlink()
    with pytest.raises(SettingsError, match=r"secrets/login: expected a secret .* `make stack`"):
        secret("login", folder)


def test_a_password_with_signs_survives_in_an_address(folder: Path) -> None:
    (folder / "prefect_db_password").write_text("a/b@c:d%\n")
    assert (
        database("asyncpg", "prefect", folder) == "postgresql+asyncpg://prefect:a%2Fb%40c%3Ad%25@postgres:5432/prefect"
    )


def test_pages_answer_to_their_name_and_the_further_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK_HOSTS", "har.example.org 10.0.0.5")
    assert allowed_hosts("mlflow") == ["mlflow", "127.0.0.1", "localhost", "har.example.org", "10.0.0.5"]
