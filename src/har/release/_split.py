"""Which subjects a new version serves: a rule that the proxy and offline analysis compute alike.

A subject falls into one of 10,000 buckets by a hash of its name and of the release; the new version serves the buckets
below its share. So a subject always meets the same version, a growing share only adds subjects, and another release
draws them anew.
"""

from __future__ import annotations

import hashlib

BUCKETS = 10_000


def bucket(key: str, salt: str) -> int:
    """The bucket of a subject, 0 to 9,999: the first 32 bits of SHA-256 of `key:salt`, modulo 10,000.

    Args:
        key: the subject's name, as the request gives it.
        salt: of the release.
    """
    digest = hashlib.sha256(f"{key}:{salt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % BUCKETS


def buckets(share: float) -> int:
    """How many buckets a share from 0 to 1 is."""
    return round(share * BUCKETS)


def is_served_by_canary(key: str, salt: str, share: float) -> bool:
    """Whether the new version serves this subject at this share."""
    return bucket(key, salt) < buckets(share)
