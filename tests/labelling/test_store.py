"""Tasks and answers in one file: whose turn it is, exactly once, taken back, and several processes at once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from label_support import Clock, filled, given, task

from har.errors import RequestError, StorageError
from har.labelling import Store, is_shared, store_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return store_path(tmp_path / "journal")


def test_nothing_was_prepared(path: Path) -> None:
    store = Store(path)
    assert (store.answers(), store.tasks(), store.recent("ann"), store.uncollected()) == ([], [], [], [])
    assert store.progress("ann").left == 0
    with pytest.raises(RequestError, match=r"har labels --prepare"):
        store.next("ann")
    assert not path.parent.exists()


def test_tasks_come_by_rank_each_until_it_is_answered(path: Path) -> None:
    store, tasks = filled(path)
    assert store.next("ann") == tasks[0]
    assert store.next("ann") == tasks[0]  # shown, and not answered
    store.answer(given(tasks[0]))
    assert store.next("ann") == tasks[1]
    store.skip("ann", tasks[1].task)
    assert store.next("ann") == tasks[2]
    for one in tasks[2:]:
        store.answer(given(one))
    assert store.next("ann") == tasks[1]  # what was skipped comes last
    store.answer(given(tasks[1], verdict="unsure", activity=None))
    assert store.next("ann") is None
    progress = store.progress("ann")
    assert (progress.done, progress.left, progress.yours, progress.answered) == (4, 1, 0, 5)
    assert store.next("ben") == tasks[1]  # ann could not tell


def test_nobody_gets_what_somebody_else_is_shown(path: Path) -> None:
    clock = Clock()
    store, tasks = filled(path, 3, clock=clock)
    assert [store.next(name) for name in ("ann", "ben", "cem", "dan")] == [*tasks, None]
    store.skip("ben", tasks[1].task)
    assert store.next("dan") == tasks[1]
    clock.later(601)  # ann went home
    assert store.next("ben") == tasks[0]


def test_a_share_of_the_tasks_is_given_to_two(path: Path) -> None:
    tasks = [task(number, shared=0.3) for number in range(300)]
    assert 60 < sum(one.people == 2 for one in tasks) < 120
    assert [is_shared(one.task, 0.3) for one in tasks] == [one.people == 2 for one in tasks]
    assert not any(is_shared(one.task, 0) for one in tasks)
    assert all(is_shared(one.task, 1) for one in tasks)
    store, (one,) = filled(path, 1, shared=1)
    assert (store.next("ann"), store.next("ben"), store.next("cem")) == (one, one, None)
    store.answer(given(one, "ann"))
    assert store.next("ann") is None
    assert (store.progress("ann").left, store.progress("ann").yours, store.progress("ben").yours) == (1, 0, 1)
    store.answer(given(one, "ben"))
    assert store.progress("ben").done == 1
    with pytest.raises(RequestError, match="which has them"):
        store.answer(given(one, "cem"))


def test_a_dispute_is_shown_to_a_third_person_and_no_further(path: Path) -> None:
    store, (one,) = filled(path, 1, shared=1)
    store.answer(given(one, "ann", "SIT"))
    store.answer(given(one, "ben", "WALK"))
    assert store.next("cem") == one
    store.answer(given(one, "cem", None))
    assert store.next("dan") is None
    assert store.progress("dan").done == 1


def test_an_answer_that_comes_twice_counts_once(path: Path) -> None:
    store, (one, *_) = filled(path)
    first = store.answer(given(one))
    assert store.answer(given(one)) == first
    with pytest.raises(RequestError, match=r"one that ann did not answer.*") as caught:
        store.answer(given(one, answer="another-id-of-ann"))
    assert caught.value.status == 409
    with pytest.raises(RequestError, match="an id that no other answer has"):
        store.answer(given(one, "ben", answer=first.answer))
    assert store.answers() == [first]


@pytest.mark.parametrize(
    ("start_s", "end_s"),
    [(-31, 2), (2, 35), (-5, 0), (4, 6), (3, 2)],
    ids=["before", "after", "left", "right", "turned"],
)
def test_an_answer_is_about_the_window(path: Path, start_s: int, end_s: int) -> None:
    store, (one, *_) = filled(path)
    start_us, end_us = (one.start_us + 1_000_000 * second for second in (start_s, end_s))
    with pytest.raises(RequestError, match="overlaps the asked window"):
        store.answer(given(one, start_us=start_us, end_us=end_us))
    assert store.answer(given(one, start_us=one.start_us - 5, end_us=one.end_us + 5)).verdict == "label"


def test_the_last_answers_are_taken_back_one_after_the_other(path: Path) -> None:
    store, tasks = filled(path)
    for one in tasks[:3]:
        store.next("ann")
        store.answer(given(one))
    source = given(tasks[0]).source
    for one in reversed(tasks[:3]):
        newest = store.recent("ann")[0]
        assert store.undo("ann", newest.answer, source) == one
        assert store.undo("ann", newest.answer, source) == one  # sent again
        assert store.next("ben") not in tasks[:3]  # it is ann's again
    assert store.recent("ann") == []
    store.answer(given(tasks[0], activity="SIT", answer="ann-anew-1"))
    with pytest.raises(RequestError, match="answered anew"):
        store.undo("ann", given(tasks[0]).answer, source)
    assert [answer.activity for answer in store.answers()] == ["SIT"]


def test_nobody_takes_back_what_somebody_else_said(path: Path) -> None:
    store, (one, *_) = filled(path)
    answer = store.answer(given(one))
    for labeller, source, status in (("ben", answer.source, 404), ("ann", "ann at 127.0.0.1", 403)):
        with pytest.raises(RequestError) as caught:
            store.undo(labeller, answer.answer, source)
        assert caught.value.status == status
    assert store.answers() == [answer]


def test_new_tasks_close_the_former_and_keep_what_somebody_is_at(path: Path) -> None:
    clock = Clock()
    store, tasks = filled(path, clock=clock)
    store.answer(given(tasks[0]))
    assert store.put([tasks[1], task(9)]) == 1
    assert {one.task for one in store.tasks()} == {tasks[0].task, tasks[1].task, task(9).task}
    assert store.progress("ann").left == 2
    assert len(store.answers()) == 1
    with pytest.raises(RequestError, match="one that is asked for"):
        store.answer(given(tasks[3]))
    shown = store.next("ann")
    assert shown is not None
    store.put([])
    assert store.next("ann") is None
    store.answer(given(shown))
    assert len(store.answers()) == 2


def test_labels_per_hour_are_those_of_the_last_hour(path: Path) -> None:
    clock = Clock()
    store, tasks = filled(path, 8, clock=clock)
    store.answer(given(tasks[0]))
    assert store.progress("ann").per_hour is None
    clock.later(4000)
    for one in tasks[1:]:
        clock.later(6)
        store.answer(given(one))
    assert store.progress("ann").per_hour == pytest.approx(600, rel=0.01)
    assert store.progress("ben").per_hour is None


def test_what_changed_is_collected_once(path: Path) -> None:
    store, tasks = filled(path)
    store.answer(given(tasks[0]))
    (settled,) = store.uncollected()
    store.undo("ann", settled.answers[0].answer, settled.answers[0].source)  # while it was collected
    store.mark_collected([settled])
    (again,) = store.uncollected()
    assert again.answers[0].undone_us is not None
    store.mark_collected([again])
    assert store.uncollected() == []


def test_many_at_once_answer_each_window_once(path: Path) -> None:
    _, tasks = filled(path, 12, shared=0)

    def label(name: str) -> int:
        own, count = Store(path), 0
        while one := own.next(name):
            own.answer(given(one, name))
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(label, ["ann", "ben", "cem", "dan"]))
    assert sum(counts) == 12
    assert sorted(answer.task for answer in Store(path).answers()) == sorted(one.task for one in tasks)


def test_an_answer_is_there_after_its_process_was_killed(path: Path) -> None:
    filled(path, 2)
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path; "
        "from har.labelling import Store; from label_support import given; store = Store(Path(sys.argv[1])); "
        "store.answer(given(store.next('ann'))); os.kill(os.getpid(), signal.SIGKILL)"
    )
    support = str(Path(__file__).parents[1] / "support")
    subprocess.run([sys.executable, "-c", code, str(path), support], check=False)
    assert [answer.labeller for answer in Store(path).answers()] == ["ann"]


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "label-page.db").write_text("no database at all, but long enough to be looked at")
    with pytest.raises(StorageError, match="a file that can be read and written"):
        Store(store_path(tmp_path)).next("ann")
