"""Read the secrets that the engine mounts, and build addresses of them; none of them is ever an argument."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from har.errors import SettingsError, reason

FOLDER = Path("/run/secrets")
_LOCAL_NAMES = ("127.0.0.1", "localhost")


def secret(name: str, folder: Path = FOLDER) -> str:
    """The content of the secret file `name`.

    Raises:
        SettingsError: it is missing, empty or may not be read.
    """
    path = folder / name
    try:
        value = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise _unusable(path, reason(error)) from error
    if not value:
        raise _unusable(path, "an empty file")
    return value


def database(driver: str, name: str, folder: Path = FOLDER) -> str:
    """The address of the database `name` of the stack's Postgres, with the password of its user.

    Args:
        driver: of SQLAlchemy, such as "asyncpg".
        name: of the database and of its user.
        folder: of the secrets.
    """
    return f"postgresql+{driver}://{name}:{quote(secret(f'{name}_db_password', folder), safe='')}@postgres:5432/{name}"


def allowed_hosts(service: str) -> list[str]:
    """The names under which a page of the stack may be asked for: its own, this machine's, and those of STACK_HOSTS."""
    return list(dict.fromkeys([service, *_LOCAL_NAMES, *os.environ.get("STACK_HOSTS", "").split()]))


def _unusable(path: Path, got: str) -> SettingsError:
    return SettingsError(
        where=str(path),
        expected="a secret that this service may read",
        got=got,
        remedy="Start the stack with `make stack`, which makes the secrets and hands them to the containers' user.",
    )
