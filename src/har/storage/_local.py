"""Files of this machine, for `Location`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from har.errors import StorageError
from har.files import make_folder, replacing, write_atomically
from har.storage._location import Entry, Location

_BLOCK = 1 << 20


def exists(place: Location) -> bool:
    return place.local.exists()


def size(place: Location) -> int:
    return place.local.stat().st_size


def read_bytes(place: Location) -> bytes:
    return place.local.read_bytes()


def write_bytes(place: Location, content: bytes, *, new: bool) -> None:
    path = place.local
    if not new:
        write_atomically(path, content)
        return
    make_folder(path.parent)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(name, path)  # refuses where there is one, unlike a rename
        finally:
            Path(name).unlink()
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageError.refused(path, error) from error


def blocks(place: Location) -> Iterator[bytes]:
    with place.local.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block


def write_blocks(place: Location, blocks: Iterator[bytes]) -> None:
    make_folder(place.local.parent)
    try:
        with replacing(place.local) as draft, draft.open("wb") as stream:
            stream.writelines(blocks)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError.refused(place.local, error) from error


def entries(place: Location, after: str = "") -> Iterator[Entry]:
    root = str(place.local)
    for folder, _, names in os.walk(root):
        within = folder[len(root) + 1 :]
        for name in names:
            path = f"{within}/{name}" if within else name
            file = Path(folder, name) if path > after else None
            if file is not None and file.is_file():
                status = file.stat()
                yield Entry(path, status.st_size, status.st_mtime)


def delete(place: Location) -> None:
    place.local.unlink(missing_ok=True)


def delete_prefix(place: Location) -> int:
    count = sum(1 for _ in entries(place))
    if place.local.is_dir():
        shutil.rmtree(place.local)
    return count
