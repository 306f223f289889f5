"""Single objects of an S3 service, for `Location`; `obstore` speaks to it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from uuid import uuid4

from har.errors import StoreError
from har.storage._credentials import for_obstore, missing_extra
from har.storage._location import Entry, Location
from har.storage._refusals import passes, refused

try:
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
    from obstore.store import S3Store
except ImportError as error:
    raise missing_extra() from error

_BLOCK = 1 << 20
_AT_ONCE = 1000
"""Objects that one request removes."""
_NEW_S = 600.0
"""A connection that was tried is not tried again for so long."""


def exists(place: Location) -> bool:
    with _explained(place):
        if not place.key:
            return next(entries(place), None) is not None
        try:
            obstore.head(_store(place), place.key)
        except FileNotFoundError:
            return next(entries(place), None) is not None
        return True


def size(place: Location) -> int:
    with _explained(place):
        return int(obstore.head(_store(place), place.key)["size"])


def read_bytes(place: Location) -> bytes:
    with _explained(place):
        return bytes(obstore.get(_store(place), place.key).bytes())


def write_bytes(place: Location, content: bytes, *, new: bool) -> None:
    with _explained(place):
        try:
            obstore.put(_store(place), place.key, content, mode="create" if new else "overwrite")
        except (AlreadyExistsError, PreconditionError) as error:
            raise FileExistsError(str(place)) from error


def blocks(place: Location) -> Iterator[bytes]:
    with _explained(place):
        for block in obstore.get(_store(place), place.key).stream(_BLOCK):
            yield bytes(block)


def write_blocks(place: Location, blocks: Iterator[bytes]) -> None:
    with _explained(place):
        obstore.put(_store(place), place.key, blocks)


def entries(place: Location, after: str = "") -> Iterator[Entry]:
    beginning = f"{place.key}/" if place.key else ""
    with _explained(place):
        for chunk in obstore.list(_store(place), place.key or None, offset=f"{beginning}{after}" if after else None):
            for one in chunk:
                if one["path"].startswith(beginning):
                    name = one["path"].removeprefix(beginning)
                    yield Entry(name, int(one["size"]), one["last_modified"].timestamp())


def delete(place: Location) -> None:
    with _explained(place), contextlib.suppress(FileNotFoundError):
        obstore.delete(_store(place), place.key)


def delete_prefix(place: Location) -> int:
    keys = [f"{place.key}/{one.name}".lstrip("/") for one in entries(place)]
    with _explained(place):
        for first in range(0, len(keys), _AT_ONCE):
            obstore.delete(_store(place), keys[first : first + _AT_ONCE])
    return len(keys)


def require_reachable(place: Location) -> None:
    """Refuse quickly, with the reason, where no request can succeed: no such service or bucket, wrong credentials.

    The clients of the tables repeat their requests for half a minute, and say less.

    Raises:
        StoreError: says which of these it is.
    """
    _try(Location(f"s3://{place.bucket}", place.service), for_obstore()["access_key_id"], int(time.time() / _NEW_S))


@lru_cache(maxsize=32)
def _try(bucket: Location, _key: str, _when: int) -> None:
    try:
        obstore.get(_store(bucket, retries=1), ".har-is-anybody-there")
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise refused(bucket, error) from error
    except (BaseError, OSError) as error:
        if not passes(error):
            raise refused(bucket, error) from error


@lru_cache(maxsize=32)
def require_conditional_put(place: Location) -> None:
    """Refuse a store that writes an object twice although it was asked to do so only once.

    With such a store, of two writers at once one would overwrite the commit of the other.

    Raises:
        StoreError: it does, or it refuses.
    """
    probe = place / f".har-probe-{uuid4().hex}"
    probe.write_bytes(b"first", if_none_match="*")
    try:
        probe.write_bytes(b"second", if_none_match="*")
    except FileExistsError:
        return
    finally:
        probe.delete()
    raise StoreError(
        where=str(place),
        expected="a store that enforces If-None-Match when an object is written",
        got="one that overwrote the object",
        remedy="Two writers at once would lose data there: use another store, or a newer release of it. Nothing else "
        "was written.",
    )


def probe(place: Location, *, conditional: bool) -> None:
    """Try what is needed of a place: to reach it, list, write, read and delete; and to write a file only once.

    Args:
        place: of tables or files.
        conditional: whether several writers share it, as they do tables.

    Raises:
        StorageError: says what is refused, and the way out.
    """
    require_reachable(place)
    next(entries(place), None)
    if conditional:
        require_conditional_put.__wrapped__(place)
        return
    file = place / f".har-probe-{uuid4().hex}"
    file.write_bytes(b"probe")
    file.read_bytes()
    file.delete()


@contextlib.contextmanager
def _explained(place: Location) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, FileExistsError) as error:
        if "NoSuchBucket" in str(error):
            raise refused(place, error) from error
        raise
    except StoreError:
        raise
    except (BaseError, OSError) as error:
        raise refused(place, error) from error


def _store(place: Location, *, retries: int | None = None) -> S3Store:
    service = place.service
    client: Any = service.client()
    return _opened(
        place.bucket,
        tuple(service.config(place.bucket).items()),
        tuple(client.items()),
        service.retries if retries is None else retries,
        service.patience,
        for_obstore()["access_key_id"],
    )


@lru_cache(maxsize=16)
def _opened(bucket: str, config: Any, client: Any, retries: int, patience: Any, _key: str) -> S3Store:
    options: Any = {name: value == "true" if name == "allow_http" else value for name, value in client}
    settings: Any = {**dict(config), "aws_conditional_put": "etag"}
    # Only AWS has the request that deletes many objects for sure.
    settings["aws_disable_bulk_delete"] = "aws_endpoint_url" in settings
    return S3Store(
        bucket,
        config=settings,
        client_options=options,
        retry_config={"max_retries": retries, "retry_timeout": patience},
        credential_provider=for_obstore,
    )
