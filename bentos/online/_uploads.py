"""Bodies that are on their way: they hold no place of the requests that are worked on, and give way to newer ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from har.errors import RequestError


class Upload:
    """A body on its way; `timeout` ends waiting for it."""

    __slots__ = ("dropped", "received", "timeout")

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self.timeout, self.received, self.dropped = timeout, 0, False


class Uploads:
    """All bodies on their way. The oldest is dropped when there are too many, or when they hold too many bytes.

    A client that announces a body and is slow with it, or silent, so cannot keep others out.

    Args:
        most: bodies at the same time.
        most_bytes: of all of them together.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._waiting: dict[Upload, None] = {}  # the oldest first
        self._bytes = 0

    @contextlib.contextmanager
    def one(self, timeout: asyncio.Timeout) -> Iterator[Upload]:
        """A further body; its reader reports to `received` what arrives.

        Raises:
            TimeoutError: from the reader, when the body is dropped.
        """
        upload = Upload(timeout)
        self._waiting[upload] = None
        if len(self._waiting) > self._most:
            self._drop(next(iter(self._waiting)))
        try:
            yield upload
        finally:
            self._forget(upload)

    def received(self, upload: Upload, size: int) -> None:
        """Note that so many further bytes have arrived."""
        upload.received += size
        if upload in self._waiting:
            self._bytes += size
            while self._bytes > self._most_bytes and len(self._waiting) > 1:
                self._drop(next(iter(self._waiting)))

    def refusal(self) -> RequestError:
        """What a dropped request is told."""
        return RequestError(
            where="body",
            expected=f"a body that arrives before {self._most} later ones, or {self._most_bytes} bytes of them",
            got="one that was still on its way",
            remedy="Retry after the seconds in Retry-After, and send the whole body at once.",
            status=429,
        )

    def _drop(self, upload: Upload) -> None:
        upload.dropped = True
        self._forget(upload)
        upload.timeout.reschedule(-1)

    def _forget(self, upload: Upload) -> None:
        if upload in self._waiting:
            del self._waiting[upload]
            self._bytes -= upload.received
