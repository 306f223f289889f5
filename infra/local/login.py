"""The login of the local stack: a generated secret in a file that only its owner can read.

Prefect's server and MLflow's page ask for it, so that neither other users of this machine nor pages in a browser can
use them. Processes get it as an environment variable, which other users cannot see; arguments of a command they can.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from har.files import write_atomically

USER = "har"
FILE = "login"
_BYTES = 24


def login_file(home: Path) -> Path:
    """The file of the login of the server whose folder is `home`."""
    return home / FILE


def login(home: Path) -> str:
    """The login `har:SECRET` of the server whose folder is `home`; made on the first call.

    Raises:
        OSError: the file cannot be read or written.
    """
    path = login_file(home)
    with contextlib.suppress(FileNotFoundError):
        if known := path.read_text(encoding="utf-8").strip():
            return known
    made = f"{USER}:{secrets.token_urlsafe(_BYTES)}"
    write_atomically(path, f"{made}\n", private=True)
    return made


def renew_login(home: Path) -> None:
    """Forget the login; the next call of `login` makes another one."""
    login_file(home).unlink(missing_ok=True)


def open_mode(path: Path) -> str:
    """The permissions of a file of ours that others may read, such as "644"; "" if they may not, or it is not there."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ""
    mode = stat.S_IMODE(status.st_mode)
    return f"{mode:03o}" if mode & 0o077 and status.st_uid == os.getuid() else ""
