"""The engines do the same: results in order, failed parts by name after the others are done, lost workers made good."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_support import Part, work

from har.engine import Each, engine_of, in_threads, open_engine
from har.engine._outcomes import HOPELESS, outcomes
from har.engine._threads import Threads
from har.errors import EngineError, PartsError
from har.settings import Settings


def with_engine(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update={"engine": settings.engine.model_copy(update=values)})


@pytest.fixture(params=["threads", pytest.param("processes", marks=pytest.mark.timeout(120))])
def each(request: pytest.FixtureRequest, settings: Settings) -> Each:
    return engine_of(with_engine(settings, kind=request.param, workers=2))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Each run of a part leaves a file here."""
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def test_a_part_that_fails_is_named_and_the_others_are_done(each: Each, runs: Path) -> None:
    parts = [Part(number, "fails" if number in (2, 5) else "", runs) for number in range(8)]
    results = each(work, parts)
    done = []
    with pytest.raises(
        PartsError, match=r"part 2, part 5: 2 of 8 parts failed. The first: nothing to do with 2"
    ) as one:
        for result in results:
            done.append(result)
    assert done == [number**2 for number in (0, 1, 3, 4, 6, 7)]
    assert [type(cause) for cause in one.value.causes] == [ValueError, ValueError]
    assert len(list(runs.iterdir())) == 8


def test_a_worker_that_is_killed_costs_its_part_a_second_run_and_nothing_else(settings: Settings, runs: Path) -> None:
    parts = [Part(number, "kills once" if number == 3 else "", runs) for number in range(12)]
    each = engine_of(with_engine(settings, kind="processes", workers=2))
    assert list(each(work, parts)) == [number**2 for number in range(12)]
    numbers = [path.name.split("-")[0] for path in runs.iterdir()]
    assert sorted(numbers, key=int) == sorted([*map(str, range(12)), "3"], key=int)


def test_a_part_that_always_kills_its_worker_is_given_up(settings: Settings) -> None:
    each = engine_of(with_engine(settings, kind="processes", workers=2))
    done = []
    with pytest.raises(PartsError, match=r"part 1: 1 of 4 parts failed.*its worker ended 3 times"):
        for result in each(work, [Part(number, "kills" if number == 1 else "") for number in range(4)]):
            done.append(result)
    assert done == [0, 4, 9]


def test_an_only_part_runs_in_this_process_and_raises_its_own_error(settings: Settings) -> None:
    each = engine_of(with_engine(settings, kind="processes"))
    assert list(each(_process, [0])) == [threading.get_ident()]
    with pytest.raises(ValueError, match="nothing to do with 7"):
        list(each(work, [Part(7, "fails")]))


def _process(_: int) -> int:
    return threading.get_ident()


def test_parts_that_cannot_share_a_process_run_in_turn_in_threads(settings: Settings) -> None:
    with open_engine(with_engine(settings, workers=4), thread_safe=False) as engine:
        assert list(engine.each(work, [Part(number) for number in range(5)])) == [0, 1, 4, 9, 16]


def test_the_largest_parts_of_a_wave_come_first_and_a_window_slides_over_the_waves() -> None:
    parts = [Part(number, size=number) for number in range(7)]
    started: list[int] = []

    class OneByOne(Threads):
        def take(self, function: Any, part: Any, done: Any) -> bool:
            taken = super().take(function, part, done)
            if taken:
                started.append(part.number)
            return taken

    with OneByOne(1) as crew:
        ended = outcomes(crew, work, parts, wave=3)
        assert next(ended)[0] == 2
        assert len(started) < 3  # parts that wait are not with the workers
        assert sorted(number for number, _ in ended) == [0, 1, 3, 4, 5, 6]
    assert started == [2, 1, 0, 5, 4, 3, 6]


def test_no_further_part_is_started_where_everything_fails() -> None:
    with pytest.raises(PartsError, match=r"parts failed; \d+ were not tried") as hopeless:
        list(in_threads(work, [Part(number, "fails") for number in range(1000)]))
    assert HOPELESS <= len(hopeless.value.names) < HOPELESS + 100
    assert f"{1000 - len(hopeless.value.names)} were not tried" in str(hopeless.value)


def test_an_error_that_does_not_travel_is_told_in_words(settings: Settings) -> None:
    each = engine_of(with_engine(settings, kind="processes", workers=1))
    with pytest.raises(PartsError, match="StubbornError: it happened") as failed:
        list(each(_stubborn, [0, 1]))
    assert isinstance(failed.value.causes[0], EngineError)
    assert "_stubborn" in "".join(failed.value.causes[0].__notes__)


class StubbornError(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


def _stubborn(_: int) -> None:
    raise StubbornError("it happened", "here")


def test_results_are_handed_out_as_they_come(each: Each) -> None:
    """A consumer that stops early gets its processes ended, also in mid-part."""
    results: Iterator[int] = each(work, [Part(number, "sleeps" if number > 1 else "") for number in range(6)])
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
