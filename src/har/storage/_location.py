"""`Location`: one place of a table or a file, and what can be done with single files there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, Literal

from har.errors import StorageError
from har.storage._address import S3, absolute
from har.storage._service import Service

_NO_SERVICE = Service()


@dataclass(frozen=True)
class Entry:
    """A file below a place.

    Attributes:
        name: its path from there, with slashes.
        size: bytes.
        modified: seconds since 1970.
    """

    name: str
    size: int
    modified: float


@dataclass(frozen=True)
class Location:
    """A folder or file of this machine, or a prefix or object of object storage; its text is the address alone.

    Attributes:
        address: an absolute path, or `s3://bucket/prefix`.
        service: the S3 service; not used for paths.
    """

    address: str
    service: Service = _NO_SERVICE

    @classmethod
    def of(cls, text: str | Path, service: Service, root: Path) -> Location:
        """The place that a setting names.

        Args:
            text: a path, `file:///path` or `s3://bucket/prefix`.
            service: for addresses of object storage.
            root: the folder that paths are relative to.

        Raises:
            ValueError: another scheme, or credentials in the address.
        """
        return cls(absolute(str(text), root), service)

    @classmethod
    def at(cls, place: Path | Location) -> Location:
        """A folder or file of this machine as a place; a place stays what it is."""
        return place if isinstance(place, Location) else cls(str(place))

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> Location:
        return Location(f"{self.address.rstrip('/')}/{name}", self.service)

    @property
    def name(self) -> str:
        """The last part of the address."""
        return PurePosixPath(self.address).name

    @property
    def is_local(self) -> bool:
        """Whether it is a folder or file of this machine."""
        return not self.address.startswith(S3)

    @property
    def local(self) -> Path:
        """The path.

        Raises:
            StorageError: it is on object storage.
        """
        if not self.is_local:
            raise StorageError(
                where=self.address,
                expected="a folder on this machine",
                got="an address of object storage",
                remedy="This part of the program works with folders only: docs/how-to/object-storage.md lists what "
                "works with object storage.",
            )
        return Path(self.address)

    @property
    def bucket(self) -> str:
        """The bucket's name; "" of a path."""
        return "" if self.is_local else self.address.removeprefix(S3).partition("/")[0]

    @property
    def key(self) -> str:
        """What follows the bucket's name; "" of a path."""
        return "" if self.is_local else self.address.removeprefix(S3).partition("/")[2]

    @property
    def options(self) -> dict[str, str] | None:
        """deltalake's `storage_options`, with the credentials of this moment; None for a path."""
        return None if self.is_local else self.service.delta(self.bucket)

    @property
    def lasting(self) -> bool:
        """Whether what opens a table now may stay open: a path, or no temporary credentials."""
        return self.is_local or self.service.lasting

    @property
    def polars(self) -> dict[str, Any]:
        """Arguments of `polars.scan_parquet` and `read_parquet` for files below; none for a path."""
        return {} if self.is_local else self.service.polars(self.bucket)

    def require_reachable(self) -> None:
        """Refuse quickly a store that takes no request: no service, no bucket, wrong credentials. Paths are reachable.

        Raises:
            StoreError: says which of these it is.
        """
        if not self.is_local:
            self._how.require_reachable(self)

    def require_conditional_put(self) -> None:
        """Refuse a store that does not enforce If-None-Match, on which two writers would lose data; paths are fine.

        Raises:
            StoreError: it does not, or refuses.
        """
        if not self.is_local:
            self._how.require_conditional_put(self)

    def require_answer(self, error: BaseException) -> None:
        """Raise what a person can understand if a library's error came from the store.

        Args:
            error: of deltalake or polars.

        Raises:
            StoreError: it did.
        """
        if not self.is_local:
            from har.storage._refusals import is_refusal, refused

            if is_refusal(error):
                raise refused(self, error) from error

    def exists(self) -> bool:
        """Whether there is such a file or folder; on object storage: an object, or any below it.

        Raises:
            StorageError: the store refuses.
        """
        return bool(self._how.exists(self))

    def size(self) -> int:
        """The file's size in bytes.

        Raises:
            FileNotFoundError: there is none.
            StorageError: the store refuses.
        """
        return int(self._how.size(self))

    def read_bytes(self) -> bytes:
        """The file's content.

        Raises:
            FileNotFoundError: there is none.
            StorageError: the store refuses.
        """
        content: bytes = self._how.read_bytes(self)
        return content

    def write_bytes(self, content: bytes, *, if_none_match: Literal["*"] | None = None) -> None:
        """Write the file in one step: readers see the old content or the new one.

        Args:
            content: of the file.
            if_none_match: "*": only if there is no such file yet.

        Raises:
            FileExistsError: there is one, with `if_none_match`.
            StorageError: the disk or store refuses.
        """
        self._how.write_bytes(self, content, new=if_none_match is not None)

    def blocks(self) -> Iterator[bytes]:
        """The file's content in parts, for files that may be large.

        Raises:
            FileNotFoundError: there is none.
            StorageError: the store refuses.
        """
        yield from self._how.blocks(self)

    def write_blocks(self, blocks: Iterator[bytes]) -> None:
        """Write the file in one step from parts of its content; none is kept if they end with an error.

        Raises:
            StorageError: the disk or store refuses.
        """
        self._how.write_blocks(self, blocks)

    def list(self, after: str = "") -> Iterator[Entry]:
        """All files below, in no order; none if there is no such folder.

        Args:
            after: only files whose name comes after this one.

        Raises:
            StorageError: the store refuses.
        """
        yield from self._how.entries(self, after)

    def delete(self) -> None:
        """Remove the file; it may be gone already."""
        self._how.delete(self)

    def delete_prefix(self) -> int:
        """Remove all files below; returns how many there were."""
        return int(self._how.delete_prefix(self))

    def probe(self, *, conditional: bool = False) -> None:
        """Try what jobs need of object storage here; of a folder, nothing, for each job says so itself.

        Args:
            conditional: whether several writers share the place, as they do tables.

        Raises:
            StorageError: the store cannot be reached, has no such bucket, refuses the credentials or one of the
                requests, or lets two writers overwrite each other.
        """
        if not self.is_local:
            self._how.probe(self, conditional=conditional)

    @property
    def _how(self) -> ModuleType:
        # Imported here: settings are read where neither of these is installed.
        if self.is_local:
            from har.storage import _local

            return _local
        from har.storage import _s3

        return _s3
