"""Give the volumes and the secrets to the user that all services run as; the service `prepare` runs it as root, once.

A new volume belongs to root, or to whoever owned the folder in the image that used it first; a secret file belongs to
whoever started the stack, and only its owner may read it.
"""

from __future__ import annotations

import os
from pathlib import Path

USER = 1034


def main(volumes: Path, secrets: Path, user: int = USER) -> None:
    """Hand over the volumes' folders and the secret files, and what is in none of them stays as it is.

    Args:
        volumes: a folder of folders.
        secrets: a folder of files.
        user: the number of user and group.
    """
    for folder in sorted(volumes.iterdir()):
        _give(folder, user, 0o700)
    for file in sorted(secrets.iterdir()):
        if file.is_file() and not file.is_symlink():
            _give(file, user, 0o600)


def _give(path: Path, user: int, mode: int) -> None:
    if path.stat().st_uid != user:
        path.chmod(mode)
        os.chown(path, user, user)


if __name__ == "__main__":
    main(Path("/volumes"), Path("/secrets"))
