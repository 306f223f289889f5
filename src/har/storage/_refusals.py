"""What an S3 service refuses, in words: the libraries' errors are pages of text that begin with "Generic S3 error"."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from har.errors import StoreError, reason
from har.storage._location import Location

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code\W+(\d{3}\b[ \w]*)|error response\W+(\d{3}\b[ \w]*)|\b([345]\d\d [A-Z][\w ]+)")
_UNREACHABLE = re.compile(
    r"\(Connect\)|connect error|dns error|error sending request|operation timed out|connection closed|"
    r"error trying to connect|TimedOut|timed out",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Case:
    applies: Callable[[str, str, str], bool]
    expected: str
    remedy: str
    passes: bool = False


_UNREACHED = _Case(
    lambda code, status, text: not status and bool(_UNREACHABLE.search(text)),
    "a store that can be reached",
    "Check storage.endpoint in har.toml (or AWS_ENDPOINT_URL) and the network, then run the same command again: "
    "nothing is half-written.",
)
_CASES = (
    _Case(
        lambda code, status, text: code == "NoSuchBucket",
        "a bucket that exists",
        "Create the bucket, or correct the address of the lake (paths.lake in har.toml).",
    ),
    _Case(
        lambda code, status, text: (
            code in {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
            or status.startswith(("401", "403"))
        ),
        "credentials that the store accepts for this bucket",
        "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile that AWS_PROFILE names, and that they may "
        "list, read, write and delete objects of this bucket.",
    ),
    _Case(
        lambda code, status, text: (
            code in {"PermanentRedirect", "AuthorizationHeaderMalformed"} or "configured region" in text
        ),
        "the bucket's region",
        "Set storage.region in har.toml, or AWS_REGION.",
    ),
    _Case(
        lambda code, status, text: status[:1] == "5" or status[:3] == "429" or code == "SlowDown",
        "a store that answers",
        "The store refuses after all retries (storage.retries in har.toml). Nothing is half-written: run the same "
        "command again later.",
        passes=True,
    ),
    _UNREACHED,
)
_OTHER = _Case(
    lambda code, status, text: True,
    "a store that takes the request",
    "Nothing is half-written: run the same command again; if it fails again, ask whoever runs the store.",
    passes=True,
)


def is_refusal(error: BaseException) -> bool:
    """Whether a library's error came from the store, and does not just say that an object is missing."""
    text = _plain(error)
    if "NoSuchBucket" in text:
        return True
    if isinstance(error, FileNotFoundError) or "NoSuchKey" in text or "404 Not Found" in text:
        return False
    return bool(_CODE.search(text) or _STATUS.search(text) or _UNREACHABLE.search(text) or "Generic S3" in text)


def refused(place: Location, error: BaseException) -> StoreError:
    """The error that says what a person can do.

    Args:
        place: what was read or written.
        error: of obstore, deltalake or polars.
    """
    case, said = _case(error)
    endpoint = place.service.url
    return StoreError(
        where=f"{place} at {endpoint}" if endpoint else str(place),
        expected=case.expected,
        got=said or ("no answer" if case is _UNREACHED else reason(error)),
        remedy=case.remedy,
    )


def passes(error: BaseException) -> bool:
    """Whether the same request may work later without anybody doing anything."""
    return _case(error)[0].passes


def _case(error: BaseException) -> tuple[_Case, str]:
    text = _plain(error)
    code = found[1] if (found := _CODE.search(text)) else ""
    status = next(filter(None, found.groups()), "").strip() if (found := _STATUS.search(text)) else ""
    case = next((one for one in _CASES if one.applies(code, status, text)), _OTHER)
    return case, " ".join(filter(None, (status, code if code not in status.replace(" ", "") else "")))


def _plain(error: BaseException) -> str:
    return _COLOURS.sub("", str(error))
