"""The secrets of a stack: generated files that their owner alone can read.

The first start makes them. Later ones check them: a missing or an open file is never silently replaced, because the
databases and other people know the old secret.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

from har.errors import SettingsError
from har.files import write_atomically

USER = "har"
LOGIN = "login"
FOR_PEOPLE = (LOGIN, "grafana_password", "feedback_token")
"""What people need as well; they get copies, because the containers' user owns the files themselves."""
NAMES = ("postgres_password", "prefect_db_password", "mlflow_db_password", LOGIN, "grafana_password", "feedback_token")
OF_STREAM = ("stream_db_password", "valkey_password", "mqtt_password", "device_password")
"""Secrets of the profile `stream`: missing ones are made at every start, which hands them to all who need them."""
_BYTES = 24
_MODE = 0o600


def make_secrets(folder: Path, names: Iterable[str] = NAMES) -> None:
    """Make the secrets that are not there, in a folder that is private as well.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    for name in names:
        if not (folder / name).exists():
            value = secrets.token_urlsafe(_BYTES)
            line = f"{USER}:{value}\n" if name == LOGIN else f"{value}\n"
            write_atomically(folder / name, line, private=True)
            if name in (*FOR_PEOPLE, "device_password"):
                write_atomically(copy_for_people(folder, name), line, private=True)


def copy_for_people(folder: Path, name: str) -> Path:
    """The copy of a secret of `FOR_PEOPLE` that belongs to whoever started the stack."""
    return folder.parent / "logins" / name


def check_secrets(folder: Path) -> None:
    """Check that every secret is there and that its owner alone can read it.

    The files may belong to the containers' user by now, so their content is not read.

    Raises:
        SettingsError: one is missing, empty, no file, or open; says how to mend it.
    """
    missing = [name for name in NAMES if not (folder / name).exists()]
    if missing:
        raise SettingsError(
            where=str(folder),
            expected=f"the secrets of the first start: {', '.join(NAMES)}",
            got=f"no {', no '.join(missing)}",
            remedy="Restore them from a backup, or have new ones made, which others have to be told: "
            f"python -m infra.compose renew {' '.join(missing)}, then `make stack`.",
        )
    for path in (folder, *(folder / name for name in NAMES)):
        state = path.lstat()
        if path != folder and (path.is_symlink() or not path.is_file() or state.st_size == 0):
            raise SettingsError(
                where=str(path),
                expected="a file with a secret",
                got="a link" if path.is_symlink() else "an empty file" if path.is_file() else "something else",
                remedy=f"Restore it from a backup, or: python -m infra.compose renew {path.name}.",
            )
        if state.st_mode & 0o077:
            raise SettingsError(
                where=str(path),
                expected=f"mode {0o700 if path == folder else _MODE:o}, for its owner alone",
                got=f"mode {state.st_mode & 0o777:o}: others on this machine may have read it",
                remedy=f"chmod go= {path} closes it. If others use this machine, replace the secret as well: "
                f"python -m infra.compose renew {path.name if path != folder else ' '.join(NAMES)}.",
            )


def renew_secrets(folder: Path, names: Iterable[str]) -> None:
    """Replace these secrets; the next start of the stack hands them to all who need them.

    Raises:
        SettingsError: there is no secret of that name.
    """
    names, known = list(names), (*NAMES, *OF_STREAM)
    for name in names:
        if name not in known:
            raise SettingsError(
                where="secret",
                expected=f"one of {', '.join(known)}",
                got=repr(name),
                remedy="Name one of these.",
            )
    for name in names:
        (folder / name).unlink(missing_ok=True)
    make_secrets(folder, names)
