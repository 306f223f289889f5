"""Which subjects a release's new version serves."""

from __future__ import annotations

import pytest

from har.release import BUCKETS, bucket, is_served_by_canary

SUBJECTS = [f"S{number:04d}" for number in range(4000)]


def test_a_share_of_the_subjects_meets_the_new_version() -> None:
    for share in (0.05, 0.25, 0.5):
        met = sum(is_served_by_canary(subject, "v5", share) for subject in SUBJECTS) / len(SUBJECTS)
        assert met == pytest.approx(share, abs=0.02)


def test_a_larger_share_only_adds_subjects() -> None:
    small = {subject for subject in SUBJECTS if is_served_by_canary(subject, "v4", 0.05)}
    large = {subject for subject in SUBJECTS if is_served_by_canary(subject, "v4", 0.25)}
    assert small < large


def test_another_release_draws_the_subjects_anew() -> None:
    first = {subject for subject in SUBJECTS if is_served_by_canary(subject, "v4", 0.05)}
    second = {subject for subject in SUBJECTS if is_served_by_canary(subject, "v5", 0.05)}
    assert len(first & second) < 0.2 * len(first)


def test_nobody_at_share_0_and_everybody_at_share_1() -> None:
    assert not any(is_served_by_canary(subject, "v4", 0.0) for subject in SUBJECTS)
    assert all(is_served_by_canary(subject, "v4", 1.0) for subject in SUBJECTS)


def test_the_bucket_of_a_name_never_changes() -> None:
    """Offline analysis of old releases depends on it, as do proxies that run already."""
    assert [bucket(name, "v4") for name in ("S01", "Zoë", "")] == [734, 7602, 512]
    assert all(0 <= bucket(subject, "v4") < BUCKETS for subject in SUBJECTS)
