"""Which replica gets no more requests, by what the proxy counted."""

from __future__ import annotations

from collections.abc import Sequence

from infra.serving.ejection import FAILED_SHARE, Count, Recent, failing, pause_s


def seen(**replicas: tuple[int, int]) -> tuple[Recent, Sequence[str]]:
    """Two seconds in which replicas had so many requests, of which so many failed."""
    recent = Recent()
    recent.add(0.0, {name: Count(1000, 500) for name in replicas})
    recent.add(2.0, {name: Count(1000 + asked, 500 + failed) for name, (asked, failed) in replicas.items()})
    return recent, [*replicas]


def worst(**replicas: tuple[int, int]) -> str | None:
    recent, names = seen(**replicas)
    return failing(recent, [*names])


def test_a_replica_that_fails_beside_others_that_do_not_is_ejected() -> None:
    assert worst(s1=(100, 0), s2=(100, 90), s3=(100, 1)) == "s2"


def test_a_burden_that_all_of_them_feel_ejects_none() -> None:
    assert worst(s1=(100, 40), s2=(100, 60)) is None


def test_a_few_failures_eject_none() -> None:
    assert worst(s1=(100, 0), s2=(9, 9)) is None
    assert worst(s1=(100, 0), s2=(1000, round(1000 * FAILED_SHARE) - 1)) is None


def test_the_last_one_stays() -> None:
    assert worst(s1=(100, 100)) is None


def test_a_proxy_that_began_again_and_a_new_replica_are_judged_anew() -> None:
    recent, _ = seen(s1=(100, 100), s2=(100, 0))
    recent.add(3.0, {"s1": Count(5, 0), "s2": Count(5, 0), "s3": Count(0, 0)})
    assert failing(recent, ["s1", "s2", "s3"]) is None
    assert recent.of("s1") == Count(0, 0)


def test_what_is_long_past_does_not_count() -> None:
    recent, names = seen(s1=(100, 100), s2=(100, 0))
    for second in range(3, 8):
        recent.add(float(second), {"s1": Count(1100 + 50 * second, 600), "s2": Count(1100 + 50 * second, 500)})
    assert failing(recent, [*names]) is None


def test_the_pauses_grow_up_to_a_minute() -> None:
    assert [pause_s(number) for number in range(1, 8)] == [5, 10, 20, 40, 60, 60, 60]
