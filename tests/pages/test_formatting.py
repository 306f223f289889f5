"""How numbers, times and names read on pages."""

from __future__ import annotations

import pytest

from har.pages import _formatting as formatting


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (0.0004, "0"), (0.0432, "0.043"), (0.996, "1.0"), (1.26, "1.3"), (9.96, "10"), (12.4, "12"),
        (999.0, "1\N{NARROW NO-BREAK SPACE}000"), (-1.84, "−1.8"), (None, "–"), (float("nan"), "–"),
    ],
)  # fmt: skip
def test_numbers_have_two_digits(value: float | None, text: str) -> None:
    assert formatting.digits(value) == text


def test_no_score_below_the_alarm_level_reads_as_if_it_had_reached_it() -> None:
    assert [formatting.score(value) for value in (0.9951, 0.99999, 1.0, 0.984, 0.001, None)] == [
        "0.99", "0.99", "1.0", "0.98", "0", "–",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 s"), (0.833, "50 s"), (1.83, "1 min 50 s"), (2.0, "2 min"), (59.999, "1 h"), (437.2, "7 h 17 min"),
        (120.0, "2 h"), (None, "–"), (float("nan"), "–"),
    ],
)  # fmt: skip
def test_durations_have_units(value: float | None, text: str) -> None:
    assert formatting.minutes(value) == text.replace(" ", "\N{NO-BREAK SPACE}")


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, "subject", "1 subject"), (2, "subject", "2 subjects"), (0, "day", "0 days"),
        (3, "activity", "3 activities"), (1, "activity", "1 activity"),
    ],
)  # fmt: skip
def test_nouns_follow_their_number(number: int, noun: str, text: str) -> None:
    assert formatting.counted(number, noun) == text.replace(" ", "\N{NO-BREAK SPACE}")


def test_shares_and_differences_of_shares() -> None:
    assert formatting.percent(0.9183) == "91.8\N{NO-BREAK SPACE}%"
    assert formatting.percent(None) == formatting.percent(float("nan")) == "–"
    assert formatting.interval(0.8832, 0.9501) == "88.3 to 95.0\N{NO-BREAK SPACE}%"
    assert formatting.points(-0.0123) == "−1.2\N{NO-BREAK SPACE}points"
