"""What git and DVC must ignore so that pointers are committed and data are not."""

from __future__ import annotations

import configparser
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from har.errors import SnapshotError
from har.files import write_atomically
from har.recordings import UPLOADING
from har.snapshots._folders import Folder
from har.snapshots._git import Repository

_SECRETS = frozenset(
    [
        "secret_access_key",
        "session_token",
        "password",
        "passphrase",
        "account_key",
        "sas_token",
        "connection_string",
        "client_secret",
        "gdrive_client_secret",
        "oss_key_secret",
        "token",
    ]
)
SETUP = tuple(map(PurePosixPath, (".dvc/.gitignore", ".dvc/config", ".dvcignore")))
"""What the first snapshot commits beside the pointers."""


def require_ignored(repository: Repository, folders: Collection[Folder], root: Path) -> None:
    """Refuse where git would commit recordings or ignore their pointers, or where DVC would not find these.

    Raises:
        SnapshotError: it names the lines of .gitignore.
    """
    for folder in folders:
        output = folder.output
        # The folder itself may be a link, beyond which git sees no files.
        if not (repository.is_ignored(output / "x") or repository.is_ignored(output)):
            raise SnapshotError(
                where=str(root / ".gitignore"),
                expected=f"a line that keeps the files of {output}/ out of git",
                got="none",
                remedy=f"Add it: /{output}/",
            )
        parent = "/" if output.parent == PurePosixPath(".") else f"/{output.parent}/"
        remedy = f"Replace it by the two lines {parent}?* and !{parent}*.dvc."
        if repository.is_ignored(folder.pointer):
            raise SnapshotError(
                where=str(root / ".gitignore"),
                expected=f"the pointer {folder.pointer} not to be ignored by git",
                got=f"a line that ignores it, such as {parent}",
                remedy=remedy,
            )
        # DVC takes a folder as ignored, and looks for no pointers in it, if all of its entries are.
        blind = sorted({f"{parent}*", f"{parent[1:]}*", f"{parent}**", f"{parent[1:]}**"} & _lines(root / ".gitignore"))
        if blind:
            raise SnapshotError(
                where=str(root / ".gitignore"),
                expected=f"lines with which DVC, too, finds the pointer {folder.pointer}",
                got=blind[0],
                remedy=remedy,
            )


def require_no_secrets(root: Path) -> None:
    """Refuse a storage secret in `.dvc/config`, which is committed.

    Raises:
        SnapshotError: it names the key, and not the value.
    """
    path = root / ".dvc" / "config"
    config = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        config.read_string(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, configparser.Error, UnicodeDecodeError):
        return  # DVC itself says what is wrong with it
    for section in config.sections():
        name = section.strip("'").removeprefix("remote ").strip('"')
        for key, value in config.items(section):
            if key in _SECRETS or (key in ("url", "endpointurl", "proxy") and urlsplit(value.strip("'\"")).password):
                raise SnapshotError(
                    where=f"{path}, {section}, {key}",
                    expected="no secret in a file that git tracks",
                    got="one",
                    remedy=f"Move it to .dvc/config.local: dvc remote modify --unset {name} {key}, then "
                    f"dvc remote modify --local {name} {key} VALUE."
                    if key in _SECRETS
                    else f"Take the password out of the address: dvc remote modify --local {name} password VALUE.",
                )


def _lines(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    return {line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()}


def ignore_patterns(root: Path, folders: Collection[Folder]) -> None:
    """Let DVC's own commands, too, leave out what snapshots leave out by its name; an existing file stays.

    Raises:
        StorageError: the disk refuses.
    """
    path = root / ".dvcignore"
    if path.exists():
        return
    lines = ["# Hidden files, unfinished uploads and what was quarantined are no recordings."]
    for folder in folders:
        base = f"/{folder.output}/**/"
        lines += [f"{base}.*", f"!{base}._*", *(f"{base}*{suffix}" for suffix in UPLOADING)]
        if folder.apart is not None and folder.path in folder.apart.parents:
            lines.append(f"/{folder.output}/{folder.apart.relative_to(folder.path).as_posix()}/")
    write_atomically(path, "\n".join([*lines, ""]))
