"""Which messages of a stream are new, and up to which one all are durable."""

from __future__ import annotations

import numpy as np

from har.streaming.store import Seen, Sequences
from har.streaming.store._sequences import GIVEN_UP_US

_S = 1_000_000


def test_any_order_with_duplicates_ends_with_all_durable() -> None:
    drawn = np.random.default_rng(5)
    order = drawn.permutation([*range(200), *drawn.choice(200, 80, replace=False)]).tolist()
    sequences, new = Sequences(), set()
    for sequence in order:
        seen = sequences.add(sequence, sequence * _S, 0)
        assert (seen is Seen.NEW) == (sequence not in new)
        new.add(sequence)
        expected = next(number for number in range(201) if number not in new) - 1
        assert sequences.durable == expected
        sequences = Sequences.loads(sequences.dumps())
    assert len(sequences.runs) == 1
    assert sequences.missing == 0


def test_a_session_id_used_again_counts_anew_and_old_messages_stay_duplicates() -> None:
    sequences = Sequences()
    for sequence in range(10):
        sequences.add(sequence, sequence * _S, 0)
    assert sequences.add(0, 500 * _S, 0) is Seen.NEW
    assert sequences.durable == 0
    assert sequences.add(0, 500 * _S, 0) is Seen.DUPLICATE
    assert sequences.add(7, 7 * _S, 0) is Seen.DUPLICATE
    assert sequences.add(1, 501 * _S, 0) is Seen.NEW
    assert sequences.durable == 1


def test_a_clock_that_steps_back_makes_no_duplicate() -> None:
    sequences = Sequences()
    stamps = [0, 1, 2, -300, -299, -298]
    assert [sequences.add(number, stamp * _S, 0) for number, stamp in enumerate(stamps)] == [Seen.NEW] * 6
    assert sequences.add(4, -299 * _S, 0) is Seen.DUPLICATE


def test_durable_waits_for_a_gap_and_passes_over_it_after_an_hour() -> None:
    sequences = Sequences()
    sequences.add(3, 3 * _S, 1)
    assert sequences.durable == -1
    sequences.add(4, 4 * _S, GIVEN_UP_US)
    assert sequences.durable == -1
    sequences.add(5, 5 * _S, GIVEN_UP_US + 2)
    assert sequences.durable == 5
    assert sequences.add(2, 2 * _S, GIVEN_UP_US + 2) is Seen.NEW


def test_a_refused_message_does_not_hold_up_durable_and_a_better_copy_is_new() -> None:
    sequences = Sequences()
    sequences.add_refused(0, 1)
    assert sequences.durable == 0
    sequences.add(1, _S, 1)
    sequences.add(3, 3 * _S, 1)
    sequences.add_refused(2, 1)
    assert sequences.durable == 3
    assert Sequences.loads(sequences.dumps()).durable == 3
    assert sequences.add(2, 2 * _S, 1) is Seen.NEW
    assert sequences.add(2, 2 * _S, 1) is Seen.DUPLICATE
    assert sequences.durable == 3


def test_the_record_of_a_stream_with_many_gaps_stays_small() -> None:
    sequences = Sequences()
    for sequence in range(0, 20_000, 2):
        assert sequences.add(sequence, sequence * _S, 0) is Seen.NEW
    assert len(sequences.dumps()) < 12_000
    assert sequences.add(19_701, 19_701 * _S, 0) is Seen.NEW
    assert sequences.add(19_999, 19_999 * _S, 0) is Seen.NEW
