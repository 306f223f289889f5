"""A Dask cluster that loses workers, its scheduler or its memory, and workers that are not as the job is."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_support import Cluster, cluster_in
from engine_support import Part, work, write

from har.engine import answer, engine_of, open_engine
from har.errors import EngineError, PartsError
from har.lake import Lake
from har.settings import Settings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Each run of a part leaves a file here."""
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with cluster_in(tmp_path / "cluster") as cluster:
        yield cluster


def on(cluster: Cluster | None, settings: Settings, **values: Any) -> Settings:
    values = {"kind": "dask", "address": cluster.address if cluster else "", "workers": 2, **values}
    return settings.model_copy(update={"engine": settings.engine.model_copy(update=values)})


def numbers_of(runs: Path) -> list[int]:
    return sorted(int(path.name.split("-")[0]) for path in runs.iterdir())


def test_a_cluster_of_this_machine_loses_a_worker_and_does_all_parts(settings: Settings, runs: Path) -> None:
    does = {1: "kills once", 4: "fails"}
    parts = [Part(number, does.get(number, ""), runs) for number in range(8)]
    done = []
    with pytest.raises(PartsError, match=r"part 4: 1 of 8 parts failed\. The first: nothing to do with 4"):
        for result in engine_of(on(None, settings))(work, parts):
            done.append(result)
    assert done == [number**2 for number in range(8) if number != 4]
    assert numbers_of(runs) == [0, 1, 1, *range(2, 8)]


@pytest.mark.release
def test_a_part_that_needs_too_much_memory_is_named_with_the_limit(settings: Settings) -> None:
    parts = [Part(number, "eats" if number == 1 else "") for number in range(4)]
    done = []
    with pytest.raises(PartsError, match=r"part 1: 1 of 4 .* ended 3 times .*its limit of memory: 300 MB"):
        for result in engine_of(on(None, settings, worker_memory_mb=300))(work, parts):
            done.append(result)
    assert done == [0, 4, 9]


@pytest.mark.release
def test_workers_that_are_not_as_the_job_is_are_refused_by_name_before_any_part(
    settings: Settings, cluster: Cluster, tmp_path: Path, runs: Path
) -> None:
    cluster.worker("good")
    without, other = tmp_path / "without", tmp_path / "other"
    without.mkdir()
    (without / "sitecustomize.py").write_text(
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'har':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, No())\n"
    )
    (other / "har").mkdir(parents=True)
    (other / "har" / "__init__.py").write_text("")
    engine = on(cluster, settings)
    parts = [Part(number, "sleeps", runs) for number in range(8)]
    with open_engine(engine) as opened:
        results = opened.each(work, parts)
        assert next(results) == 0
        # It joins while the job runs: it gets no part, and the others do them all.
        cluster.worker("late", first_path=without)
        assert list(results) == [number**2 for number in range(1, 8)]
    assert numbers_of(runs) == list(range(8))
    cluster.worker("other", first_path=other)
    with pytest.raises(EngineError, match=r"No part was run") as refused:
        list(engine_of(engine)(work, parts))
    assert ", late): it has no package har" in str(refused.value)
    assert ", other): it has other code of har" in str(refused.value)
    assert "good" not in str(refused.value)
    assert numbers_of(runs) == list(range(8))
    with open_engine(engine, refuse=False) as opened:
        assert len([place for place in opened.places if place.problem]) == 2


@pytest.mark.release
def test_a_worker_that_does_not_see_the_project_is_refused(
    settings: Settings, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.worker("far")
    settings.path("lake").mkdir(parents=True, exist_ok=True)
    # As on another machine: the mark that the job makes is not there.
    monkeypatch.setattr("pathlib.Path.touch", lambda path: None)
    with pytest.raises(EngineError, match=r"far\): it does not see the project's files in .*/lake"):
        list(engine_of(on(cluster, settings))(work, [Part(0), Part(1)]))


@pytest.mark.release
def test_a_worker_without_a_sign_of_life_is_given_up_and_its_part_runs_elsewhere(
    settings: Settings, cluster: Cluster, runs: Path
) -> None:
    cluster.worker("one")
    cluster.worker("two")
    parts = [Part(number, "stops once" if number == 0 else "sleeps", runs) for number in range(6)]
    table = Lake(runs.parent / "written", ("accel_x",)).scores
    with open_engine(on(cluster, settings, lost_after_s=10.0)) as opened:
        assert list(opened.each(write, parts)) == [number**2 for number in range(6)]
        once = table.version()
        # What was given up goes on: it writes its part a second time, with the same rows, and gets parts again.
        cluster.signal("one", signal.SIGCONT)
        cluster.signal("two", signal.SIGCONT)
        until = time.monotonic() + 60
        while table.version() == once or len(set(opened.each(answer, range(4)))) < 2:
            assert time.monotonic() < until
        assert list(opened.each(work, [Part(7), Part(8)])) == [49, 64]
    assert numbers_of(runs) == [0, 0, *range(1, 6)]
    assert table.read().sort("date")["windows"].to_list() == [number**2 for number in range(6)]


@pytest.mark.release
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_scheduler_that_goes_away_ends_the_job_with_what_to_do(
    settings: Settings, cluster: Cluster, runs: Path, how: int
) -> None:
    cluster.worker("one")
    parts = [Part(number, "sleeps", runs) for number in range(200)]
    threading.Timer(3, cluster.signal, ("scheduler", how)).start()
    done = []
    with pytest.raises(EngineError, match=r"the Dask scheduler is away.*run the same command again"):
        for result in engine_of(on(cluster, settings, lost_after_s=4.0))(work, parts):
            done.append(result)
    assert done == [number**2 for number in range(len(done))]


@pytest.mark.release
def test_all_workers_are_killed_and_new_ones_go_on(settings: Settings, cluster: Cluster, runs: Path) -> None:
    cluster.worker("one")
    parts = [Part(number, "sleeps", runs) for number in range(10)]
    with open_engine(on(cluster, settings)) as opened:
        results = opened.each(work, parts)
        assert next(results) == 0
        cluster.kill("one")
        threading.Thread(target=cluster.worker, args=("two",)).start()
        assert list(results) == [number**2 for number in range(1, 10)]


def test_nobody_answers_at_the_address(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("har.engine._dask.CONNECT_S", 1.0)
    engine = settings.engine.model_copy(update={"kind": "dask", "address": "tcp://127.0.0.1:9"})
    with pytest.raises(EngineError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(engine_of(settings.model_copy(update={"engine": engine}))(work, [Part(0), Part(1)]))
