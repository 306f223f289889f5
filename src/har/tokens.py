"""Tokens of whoever may write to the online service: a private file, which the service reads again when it changes.

A line is `NAME:TOKEN`; one line may be a bare token, which is called `first`, as every file was before tokens had
names. Empty lines and lines that begin with `#` say nothing. Only the standard library is imported here besides
`har.errors`, so that the service's image needs nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from har.errors import SettingsError, StorageError, did_you_mean

FIRST = "first"
"""The name of the token on a line without one."""
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}"
_LEAST_CHARACTERS = 16
_NAMED = re.compile(rf"({NAME}):(\S+)")
_MODE = 0o600


@dataclass(frozen=True)
class Token:
    """A line of the file.

    Attributes:
        name: whose it is.
        digest: SHA-256 of the token.
        line: as it is in the file.
    """

    name: str
    digest: bytes
    line: str

    @property
    def fingerprint(self) -> str:
        """The first characters of the digest, by which people can tell tokens apart."""
        return self.digest.hex()[:8]


class Tokens:
    """The tokens of a file as they are now: what is added or taken away holds without a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._tokens: list[Token] = []

    @property
    def any(self) -> bool:
        """Whether there is a token at all."""
        return bool(self._now())

    def name_of(self, word: bytes) -> str | None:
        """Whose token this is; None: nobody's. It takes as long for every word and every place in the file."""
        digest, found = hashlib.sha256(word).digest(), None
        for token in self._now():
            if hmac.compare_digest(token.digest, digest):
                found = token.name
        return found

    def digest_of(self, name: str) -> bytes | None:
        """SHA-256 of the token of this name, a key for what its holder is given; None: there is no such token."""
        return next((token.digest for token in self._now() if token.name == name), None)

    def _now(self) -> list[Token]:
        try:
            state = self._path.stat()
            seen = (state.st_mtime_ns, state.st_size, state.st_ino)
            if seen != self._seen:
                self._tokens = _read(self._path)
                self._seen = seen
        except OSError:
            self._seen, self._tokens = None, []
        return self._tokens


def list_tokens(path: Path) -> list[Token]:
    """The tokens of the file, in its order; none if there is no file.

    Raises:
        StorageError: the file cannot be read.
    """
    try:
        return _read(path) if path.exists() else []
    except OSError as error:
        raise StorageError.refused(path, error) from error


def make_token(path: Path) -> None:
    """Write a token named `first`, unless there is a file; processes that start together get the same one.

    Raises:
        OSError: the file cannot be written.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _draft(path, f"{secrets.token_urlsafe(32)}\n") as draft, contextlib.suppress(FileExistsError):
        os.link(draft, path)  # another process may have been faster


def add_token(path: Path, name: str) -> str:
    """Add a token of this name; returns it.

    Raises:
        SettingsError: the name is none, or is taken.
        StorageError: the file cannot be written.
    """
    if not re.fullmatch(NAME, name):
        raise SettingsError(
            where="token",
            expected="a name of letters, digits, '.', '_' and '-', at most 32",
            got=repr(name),
            remedy="Name whoever gets it, such as gym-tablet.",
        )
    with _changing(path) as tokens:
        if any(token.name == name for token in tokens):
            raise SettingsError(
                where="token",
                expected="a new name",
                got=f"{name!r}, which has one",
                remedy=f"Replace it: har tokens rotate {name}.",
            )
        value = secrets.token_urlsafe(32)
        _write(path, [*(token.line for token in tokens), f"{name}:{value}"])
        return value


def rotate_token(path: Path, name: str) -> str:
    """Replace the token of this name; the former one is refused from now on. Returns the new one.

    Raises:
        SettingsError: there is none of that name.
        StorageError: the file cannot be written.
    """
    with _changing(path) as tokens:
        _require(tokens, name)
        value = secrets.token_urlsafe(32)
        lines = {token.name: token.line for token in tokens}
        lines[name] = value if lines[name].partition(":")[0] != name else f"{name}:{value}"
        _write(path, list(lines.values()))
        return value


def remove_token(path: Path, name: str) -> None:
    """Take the token of this name away.

    Raises:
        SettingsError: there is none of that name.
        StorageError: the file cannot be written.
    """
    with _changing(path) as tokens:
        _require(tokens, name)
        _write(path, [token.line for token in tokens if token.name != name])


def _read(path: Path) -> list[Token]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    found: dict[str, Token] = {}
    for line in lines:
        named = _NAMED.fullmatch(line)
        name, value = (named[1], named[2]) if named and len(named[2]) >= _LEAST_CHARACTERS else (FIRST, line)
        if len(value) >= _LEAST_CHARACTERS and not re.search(r"\s", value):
            found.setdefault(name, Token(name, hashlib.sha256(value.encode()).digest(), line))
    return list(found.values())


def _require(tokens: list[Token], name: str) -> None:
    names = [token.name for token in tokens]
    if name not in names:
        raise SettingsError(
            where="token",
            expected=f"one of {', '.join(names)}" if names else "a token that there is",
            got=repr(name),
            remedy=did_you_mean(name, names) or f"Make one: har tokens add {name}.",
        )


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[list[Token]]:
    """The tokens now; nobody else changes the file during the block."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield _read(path) if path.exists() else []
    except OSError as error:
        raise StorageError.refused(path, error) from error


def _write(path: Path, lines: list[str]) -> None:
    comment = "# Tokens of the online service, NAME:TOKEN; har tokens changes them.\n"
    text = "".join(f"{line}\n" for line in lines)
    with _draft(path, text if len(lines) == 1 else comment + text) as draft:
        draft.replace(path)


@contextlib.contextmanager
def _draft(path: Path, text: str) -> Iterator[Path]:
    """A private file beside `path`, which is gone after the block."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        try:
            os.write(file, text.encode())
            os.fsync(file)
        finally:
            os.close(file)
        yield draft
    finally:
        draft.unlink(missing_ok=True)
