"""Unpack recordings from standard input (tar) into the inbox, file by file: `python -m infra.compose.inside.receive`.

Each file appears complete or not at all, so that `ingest` may run meanwhile. A file of that name that is there already
is not overwritten.
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import IO

from har.errors import HarError, StorageError
from har.settings import load_settings
from infra.compose.inside._entry import run


def receive(stream: IO[bytes], inbox: Path) -> tuple[int, list[str]]:
    """Put the regular files of a tar stream into the inbox.

    Returns:
        The number of new files, and the names of those that were left out because there is other content under the
        name.

    Raises:
        StorageError: a name leads out of the inbox, or the stream ends early.
    """
    new, refused = 0, []
    inbox.mkdir(parents=True, exist_ok=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".receive-", dir=inbox.parent) as draft,
            tarfile.open(fileobj=stream, mode="r|") as archive,
        ):
            for member in archive:
                if not member.isfile():
                    continue
                target = inbox / _inside(member.name)
                content = archive.extractfile(member)
                assert content is not None  # noqa: S101  a regular file has one
                part = Path(draft, "part")
                with part.open("wb") as file:
                    shutil.copyfileobj(content, file)
                    os.fsync(file.fileno())
                if target.exists():
                    if target.read_bytes() != part.read_bytes():
                        refused.append(member.name)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                part.replace(target)
                new += 1
    except tarfile.TarError as error:
        raise StorageError(
            where="standard input",
            expected="a tar stream, complete",
            got=str(error),
            remedy="Send it again: files that arrived stay, and are not taken twice.",
        ) from error
    return new, refused


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise StorageError(
            where=name, expected="a name inside the inbox", got=name, remedy="Send files or folders by relative names."
        )
    return path


def _main() -> None:
    new, refused = receive(sys.stdin.buffer, load_settings().path("inbox"))
    print(f"{new} new files in the inbox.")
    if refused:
        raise HarError(
            where="inbox",
            problem=f"{len(refused)} files were left out, because other content has their name: "
            + ", ".join(refused[:5]),
            remedy="Rename them; the handbook (files that are not ingested) says how to replace a recording.",
        )


if __name__ == "__main__":
    run(_main)
