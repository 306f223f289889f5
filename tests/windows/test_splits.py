"""Splits by subject: no subject in two parts, stable under new subjects, folds equal to scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold

from har.errors import NotEnoughDataError
from har.windows import Split, group_folds, split_subjects

EVERYONE = [f"s{number:02d}" for number in range(1, 11)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("held_out", [(), ("s03", "s07")])
def test_no_subject_is_in_two_parts(held_out: tuple[str, ...], seed: int) -> None:
    split = split_subjects(EVERYONE, held_out=held_out, seed=seed)
    sides = [*split.train, *split.validation, *split.held_out]
    assert sorted(sides) == EVERYONE
    assert all((split.train, split.validation, split.held_out))


def test_a_split_with_a_subject_in_two_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="'a' is in two parts"):
        Split(train=("a",), validation=("b",), held_out=("a",))


def test_the_id_depends_on_the_split_only() -> None:
    first, again = (split_subjects(order, seed=3) for order in (EVERYONE, EVERYONE[::-1]))
    assert first == again
    assert first.id == again.id
    assert first.id != split_subjects(EVERYONE, held_out=("s01",), seed=3).id


def test_a_new_subject_replaces_at_most_one_held_out_subject() -> None:
    before = set(split_subjects(EVERYONE).held_out)
    after = set(split_subjects([*EVERYONE, "zz"]).held_out)
    assert len(before & after) >= len(before) - 1


def test_unknown_held_out_subject_is_named() -> None:
    with pytest.raises(NotEnoughDataError, match=r"split.held_out.*'s99'"):
        split_subjects(EVERYONE, held_out=("s99",))


def test_two_subjects_are_too_few() -> None:
    with pytest.raises(NotEnoughDataError, match="3 subjects"):
        split_subjects(["a", "b", "a"])


@pytest.mark.parametrize("folds", [2, 5, 9])
def test_folds_agree_with_scikit_learn(folds: int) -> None:
    rng = np.random.default_rng(folds)
    sizes = {subject: int(size) for subject, size in zip(EVERYONE, rng.integers(5, 400, len(EVERYONE)), strict=True)}
    groups = np.repeat(list(sizes), list(sizes.values()))
    theirs = {
        tuple(sorted(set(groups[test]))) for _, test in GroupKFold(folds).split(np.zeros(len(groups)), groups=groups)
    }
    assert set(group_folds(sizes, folds)) == theirs


def test_more_folds_than_subjects() -> None:
    with pytest.raises(NotEnoughDataError, match=r"5 folds by subject.*5 subjects.*but got 2"):
        group_folds({"a": 3, "b": 4}, 5)
