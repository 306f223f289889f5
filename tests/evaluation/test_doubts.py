"""When the gate doubts the labels: each of three signs, its limit, and too little to say anything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from har.evaluation import LabelEvidence, LabelLimits, doubts

LIMITS = LabelLimits(champion_drop=0.2, mix_change=0.3, denied_share=0.5, least_windows=30)
USUAL = LabelEvidence(
    then={"PEN": 100, "ROW": 100},
    now={"PEN": 140, "ROW": 120},
    accuracy_then=0.95,
    accuracy_now=0.94,
    windows_now=80,
    sure=0,
    denied=0,
)


def test_labels_as_ever() -> None:
    assert doubts(USUAL, LIMITS) == []
    assert doubts(replace(USUAL, accuracy_now=1.0, sure=40, denied=5), LIMITS) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"accuracy_now": 0.108}, "accuracy on held-out subjects is 10.8 % (80 windows); it was 95.0 %"),
        ({"now": {"PEN": 900, "ROW": 100}}, "PEN from 50.0 % to 90.0 %, ROW from 50.0 % to 10.0 %"),
        ({"now": {"ABD": 300, "PEN": 100, "ROW": 100}}, "ABD from 0.0 % to 60.0 %"),
        ({"sure": 30, "denied": 16}, "another activity in 16 of 30 windows"),
    ],
)
def test_a_sign_that_something_is_wrong(change: dict[str, object], said: str) -> None:
    (doubt,) = doubts(replace(USUAL, **change), LIMITS)
    assert said in doubt
    assert "gates." in doubt


@pytest.mark.parametrize(
    "change",
    [
        {"accuracy_now": 0.751},
        {"accuracy_now": 0.1, "windows_now": 29},
        {"accuracy_now": 0.1, "accuracy_then": None},
        {"accuracy_now": None},
        {"now": {"PEN": 79, "ROW": 21}},
        {"now": {"PEN": 29}},
        {"then": {}, "now": {"PEN": 900}},
        {"sure": 30, "denied": 15},
        {"sure": 29, "denied": 29},
    ],
)
def test_what_is_no_reason_to_doubt(change: dict[str, object]) -> None:
    assert doubts(replace(USUAL, **change), LIMITS) == []


def test_every_sign_is_told() -> None:
    assert len(doubts(replace(USUAL, accuracy_now=0.0, now={"PEN": 500}, sure=99, denied=99), LIMITS)) == 3
