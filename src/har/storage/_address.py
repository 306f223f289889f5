"""Which texts name a place: `s3://bucket/prefix`, `file:///path`, or a path."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

S3 = "s3://"
_FILE = "file:///"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/|$)|[sS]3:")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_FORMS = "a folder, file:///path, or s3://bucket/prefix"


def check_address(text: str) -> str:
    """The address in the form in which it is kept: without a slash at its end, `file://` as a path.

    Raises:
        ValueError: says which forms there are; quotes nothing of an address with credentials.
    """
    if not _SCHEME.match(text):
        return text
    if text.startswith(_FILE):
        return unquote(text.removeprefix("file://"))
    if not text.startswith(S3):
        raise ValueError(f"{_FORMS}, spelt so, with two slashes; other stores are not supported")
    bucket, _, prefix = text.removeprefix(S3).partition("/")
    if "@" in text or "?" in text:
        raise ValueError(f"{_FORMS}, without credentials or options: set AWS_ACCESS_KEY_ID and AWS_PROFILE outside")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError("s3:// with the name of a bucket: 3 to 63 small letters, digits, dots and hyphens")
    prefix = prefix.removesuffix("/")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."}.intersection(prefix.split("/"))):
        raise ValueError("s3://bucket/prefix, with letters, digits, _ . - and single slashes in the prefix")
    return f"{S3}{bucket}/{prefix}".rstrip("/")


def absolute(text: str, root: Path) -> str:
    """An address, or a folder's absolute path.

    Args:
        text: as of `check_address`.
        root: the folder that paths are relative to.
    """
    text = check_address(text)
    return text if text.startswith(S3) else str((root / text).resolve())
