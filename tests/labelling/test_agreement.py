"""Agreement beyond chance: Cohen's kappa as scikit-learn computes it, pairs, disputes, and who did not decide."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from har.labelling import Answer, agreement, kappa, verdict_of

NAMES = ("WALK", "RUN", "SIT", "LIE")


def answer(task: str, labeller: str, activity: str | None, verdict: str = "") -> Answer:
    verdict = verdict or ("label" if activity else "unusable")
    return Answer(f"{task}-{labeller}", task, labeller, verdict, activity, None, None, "here")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("classes", [2, 4])
def test_kappa_is_that_of_scikit_learn(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(2, 60))
    ours = random.integers(0, classes, count)
    theirs = np.where(random.random(count) < 0.6, ours, random.integers(0, classes, count))
    pairs = [(NAMES[one], NAMES[other]) for one, other in zip(ours, theirs, strict=True)]
    expected = cohen_kappa_score(ours, theirs)
    assert kappa(pairs) == pytest.approx(expected, abs=1e-12)


def test_the_example_of_a_textbook() -> None:
    # 20 of 50 twice yes, 15 twice no: observed 0.7, by chance 0.5, kappa 0.4.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert kappa(pairs) == pytest.approx(0.4)


def test_where_chance_agrees_always_there_is_no_kappa() -> None:
    assert kappa([]) is None
    assert kappa([("RUN", "RUN")] * 9) is None
    assert kappa([("RUN", "SIT")] * 9) == 0


def test_everybody_is_compared_with_everybody_else() -> None:
    said = {"ann": "WWRRSS", "ben": "WWRRSW", "cem": "WRRRS-"}
    answers = [
        answer(str(task), name, {"W": "WALK", "R": "RUN", "S": "SIT"}.get(letter), "" if letter != "-" else "unsure")
        for name, letters in said.items()
        for task, letter in enumerate(letters)
    ]
    found = agreement(answers)
    assert [(pair.first, pair.second, pair.windows, pair.agreed) for pair in found.pairs] == [
        ("ann", "ben", 6, 5),
        ("ann", "cem", 5, 4),
        ("ben", "cem", 5, 4),
    ]
    assert found.windows == 6
    assert found.kappa == pytest.approx(np.mean([pair.kappa for pair in found.pairs]))
    assert found.pairs[0].kappa == pytest.approx(cohen_kappa_score(list("WWRRSS"), list("WWRRSW")))
    assert found.disputed == ("5",)  # one each, and the third was unsure


def test_unusable_is_a_word_like_any_other() -> None:
    found = agreement([answer("t", "ann", None), answer("t", "ben", None), answer("t", "cem", "RUN")])
    assert found.disputed == ()
    assert [pair.agreed for pair in found.pairs] == [1, 0, 0]


def test_more_than_half_must_say_so() -> None:
    assert verdict_of([]) is None
    assert verdict_of(["RUN"]) == "RUN"
    assert verdict_of(["RUN", "SIT"]) is None
    assert verdict_of(["RUN", "SIT", "RUN"]) == "RUN"
    assert verdict_of(["RUN", "SIT", "LIE", "RUN"]) is None
