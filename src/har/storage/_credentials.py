"""Credentials from the environment, a profile or the machine's role, as boto3 finds them; none is kept or printed."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from har.errors import StoreError

_FRESH = dt.timedelta(minutes=5)
"""boto3 renews temporary credentials at least ten minutes before they end."""


@dataclass(frozen=True)
class Credentials:
    """A key, its secret, and a token if they are temporary."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    token: str | None = field(repr=False)

    def delta(self) -> dict[str, str]:
        """As deltalake's `storage_options`."""
        options = {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}
        return {**options, "AWS_SESSION_TOKEN": self.token} if self.token else options

    @property
    def until(self) -> dt.datetime | None:
        """When to look them up again."""
        return dt.datetime.now(dt.UTC) + _FRESH if self.token else None


def credentials() -> Credentials:
    """Those of this moment.

    Raises:
        StoreError: there are none, or the extra `s3` is not installed.
    """
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return Credentials(key, secret, os.environ.get("AWS_SESSION_TOKEN") or None)
    found = _session(_environment())
    known = found.get_credentials()
    if known is None:
        raise StoreError(
            where="object storage",
            expected="credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile that AWS_PROFILE names, or "
            "the machine's role",
            got="none",
            remedy="Set them in the environment, or in ~/.aws/credentials; har.toml never holds them.",
        )
    frozen = known.get_frozen_credentials()
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token)


def for_polars() -> tuple[dict[str, str], int | None]:
    """As polars' `credential_provider`."""
    found = credentials()
    keys = {"aws_access_key_id": found.key, "aws_secret_access_key": found.secret}
    if found.token:
        keys["aws_session_token"] = found.token
    return keys, None if found.until is None else int(found.until.timestamp())


def for_obstore() -> Any:
    """As obstore's `credential_provider`."""
    found = credentials()
    return {
        "access_key_id": found.key,
        "secret_access_key": found.secret,
        "token": found.token,
        "expires_at": found.until,
    }


def region_of_profile() -> str | None:
    """The region that a profile names; None where no profile is in use."""
    profiles = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE")
    if not any(os.environ.get(name) for name in profiles) and os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    return _session(_environment()).get_config_variable("region")  # type: ignore[no-any-return]


def _environment() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))


@lru_cache(maxsize=4)
def _session(_variables: Iterable[tuple[str, str]]) -> Any:
    """A session, which renews temporary credentials by itself; another one for other variables."""
    try:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError as error:
        raise missing_extra() from error
    session = Session()
    try:
        session.get_scoped_config()
    except BotoCoreError as error:
        raise StoreError(
            where="AWS_PROFILE", expected="a profile of ~/.aws", got=str(error), remedy="Name one that is there."
        ) from error
    return session


def missing_extra() -> StoreError:
    """What object storage needs is not installed."""
    return StoreError(
        where="object storage",
        expected="the extra `s3`",
        got="an environment without it",
        remedy="Install it: pip install 'har-mlops[s3]', or `make setup`.",
    )
