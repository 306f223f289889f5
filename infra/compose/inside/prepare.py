"""Give the volumes and the secrets to the user that all services run as; the service `prepare` runs it as root, once.

A new volume belongs to root, or to whoever owned the folder in the image that used it first; a secret file belongs to
whoever started the stack, and only its owner may read it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

USER = 1034


def main(
    volumes: Path, secrets: Path, keys: Sequence[Path] = (), shared: Sequence[Path] = (), user: int = USER
) -> None:
    """Hand over the volumes' folders and the secret files, and what is in none of them stays as it is.

    Args:
        volumes: a folder of folders.
        secrets: a folder of files.
        keys: further folders of files that only the containers' user reads.
        shared: folders that it writes to, and that others may look into.
        user: the number of user and group.
    """
    for folder in sorted(volumes.iterdir()):
        _give(folder, user, 0o700)
    for folder in shared:
        _give(folder, user, 0o755)
    for folder in (secrets, *keys):
        for file in sorted(folder.iterdir()):
            if file.is_file() and not file.is_symlink():
                _give(file, user, 0o600)
    hand_over_token(secrets / "feedback_token", volumes / "journal" / "feedback-token", user)
    # The online boxes read it there: a box of an earlier release must not be given a secret that it does not know.
    hand_over_token(secrets / "valkey_password", volumes / "journal" / "hot-password", user)


def hand_over_token(secret: Path, target: Path, user: int = USER) -> None:
    """Write the secret of the first start, or one that was renewed, as the first line of the online service's tokens.

    That file is changed while the service runs (`har tokens`), which a file that is mounted as a secret cannot be.

    Args:
        secret: the file with the token.
        target: the service's file; its named tokens stay.
        user: the owner of the file.
    """
    if not secret.is_file() or (target.exists() and target.stat().st_mtime >= secret.stat().st_mtime):
        return
    lines = target.read_text(encoding="utf-8").splitlines() if target.exists() else []
    named = [line for line in lines if ":" in line]
    draft = target.with_name(f".{target.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write("\n".join([secret.read_text(encoding="utf-8").strip(), *named, ""]))
    os.chown(draft, user, user)
    draft.replace(target)


def _give(path: Path, user: int, mode: int) -> None:
    if path.stat().st_uid != user:
        path.chmod(mode)
        os.chown(path, user, user)


if __name__ == "__main__":
    main(Path("/volumes"), Path("/secrets"), [Path("/tls")], [Path("/run-of-proxy")])
