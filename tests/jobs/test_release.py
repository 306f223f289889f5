"""A release of a registered version, with the registry, the lake and the log of promotions; the place is in memory."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from memory_place_support import Evidence, Place
from serving_support import eventually, train_model, write_settings
from tests_support import example_recipe

from har.errors import PackagingError, ReleaseError
from har.jobs import Event
from har.jobs import release as job
from har.jobs.package import TAGS, PackageReport
from har.jobs.release import Order, Surroundings, number_of, release, settle
from har.monitoring import DecisionLog
from har.project import Project
from har.release import Controller, Judged, Releases, State
from har.settings import load_settings

NAME = "test-project"


def tag(version: int) -> str:
    return f"{NAME}-online:v{version}-0000000{version}"


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project: version 1 serves, version 2 is the champion, version 3 is registered."""
    folder = tmp_path_factory.mktemp("release")
    files = [train_model(folder / f"{seed}.onnx", seed=seed) for seed in (1, 2, 3)]
    project = Project(write_settings(folder / "project"))
    for number, path in enumerate(files, start=1):
        project.registry.register(
            path, params={}, metrics={}, recipe=example_recipe(seed=number), report=None, tags={"seed": number}
        )
        project.registry.set_tags(number, {TAGS[0]: tag(number), TAGS[1]: tag(number).replace("online", "batch")})
    project.registry.promote(1, reason="first", who="test")
    project.registry.promote(2, reason="second", who="test")
    return project.settings.root


@pytest.fixture
def here(stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """That project, with quick steps, and controllers and judges that turn quickly."""
    quick = {"DWELL_S": "0", "KEEP_FORMER_S": "0.1", "HOLD_H": "0.0003", "LEASE_S": "2"}
    for name, value in quick.items():
        monkeypatch.setenv(f"HAR_RELEASE__{name}", value)
    monkeypatch.setattr(job, "Controller", partial(Controller, tick_s=0.02, judge_s=0.05))
    return Project(load_settings(shutil.copytree(stock, tmp_path / "project")))


class Shelf:
    """Bentos that are there without being built."""

    def __init__(self) -> None:
        self.latest: tuple[str, ...] = ()

    def lock(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def holds(self, *tags: str) -> bool:
        return all(tags)

    def point_at(self, *tags: str) -> None:
        self.latest = tags


@pytest.fixture(autouse=True)
def packaged(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Each call to package a version."""
    calls: list[dict[str, Any]] = []

    def package(_project: Project, _bentos: Any, **options: Any) -> PackageReport:
        calls.append(options)
        version = options.get("version") or 2
        return PackageReport(version, tag(version), tag(version).replace("online", "batch"), True, 0.0)

    monkeypatch.setattr(job, "package", package)
    return calls


def around(place: Place | None, evidence: Evidence, *, smoke: tuple[str, ...] = (), refuses: str = "") -> Surroundings:
    return Surroundings(
        bentos=Shelf(),  # type: ignore[arg-type]
        serving=place,
        watch=evidence.of,
        smoke=lambda _address, _version: smoke,
        lacks="" if place else "HAProxy is not installed",
        refuses=refuses,
    )


def rows(project: Project) -> list[dict[str, Any]]:
    table = project.lake.decisions.read().filter(pl.col("action") == "release").sort("decided_at")
    return [{**row, "payload": json.loads(row["payload"])} for row in table.iter_rows(named=True)]


def test_a_good_version_is_promoted_and_every_step_is_in_the_lake_and_the_promotion_log(here: Project) -> None:
    place, events, shown = Place(stable=tag(1)), [], []
    where = around(place, Evidence())

    def send(event: Event) -> str:
        events.append(event)
        return ""

    report = release(here, where, send=send, show=shown.append)
    assert (report.result, report.good, place.stable, report.notes) == ("promoted", True, tag(2), ())
    steps = [(row["payload"]["what"], row["payload"]["step"]) for row in rows(here)]
    assert steps == [
        ("started", ""),
        ("advanced", "shadow"),
        ("advanced", "5 %"),
        ("advanced", "25 %"),
        ("advanced", "50 %"),
        ("advanced", "100 %"),
        ("promoted", "100 %"),
        ("ended", "100 %"),
    ]
    for row in rows(here)[2:6]:
        (measure,) = row["payload"]["measures"]
        assert measure == {"name": "failed", "value": 0.0, "limit": 0.02, "n": 200, "subjects": 3, "verdict": "pass"}
        assert row["payload"]["verdict"] == "pass"
    lines = [move for move in here.registry.log() if move.action == "release"]
    assert [line.figures["step"] for line in lines] == [step for _, step in steps]
    assert here.registry.verify() == len(here.registry.log())
    assert here.registry.champion().number == 2
    assert [event.name for event in events] == [f"har.release.{what}" for what, _ in steps]
    assert len(shown) == len(steps)
    assert where.bentos.latest[0] == tag(2)  # type: ignore[attr-defined]
    # A row about a release is no decision about the data of its day.
    assert DecisionLog(here.lake).about_days() == []
    assert DecisionLog(here.lake).unhandled() == []


def test_a_bad_champion_is_rolled_back_in_the_registry_as_well_and_can_be_released_again(here: Project) -> None:
    place = Place(stable=tag(1))
    measure = {"name": "failed", "value": 0.4, "limit": 0.02, "n": 50, "subjects": 0, "verdict": "fail"}
    bad = Evidence(says={"25 %": Judged("fail", (measure,), reason="40 % of its answers failed")})
    report = release(here, around(place, bad))
    assert (report.result, report.good, place.stable) == ("rolled back", False, tag(1))
    assert "40 % of its answers failed" in report.sentence
    assert here.registry.champion().number == 1
    last = here.registry.log()[-1]
    assert (last.action, last.champion_before, last.champion_after) == ("rollback", 2, 1)
    assert "release of version 2 rolled back at 25 %: 40 % of its answers failed" in last.reason
    assert rows(here)[-1]["payload"]["measures"] == [measure]
    again = release(here, around(place, Evidence()), Order(version=2, why="mended its data"))
    assert again.result == "promoted"
    assert (here.registry.champion().number, place.stable) == (2, tag(2))
    assert here.registry.verify()


@pytest.mark.parametrize(
    ("place", "smoke", "words"),
    [
        (Place(stable=tag(1), starts={tag(2): "ended twice before it was ready"}), (), "ended twice"),
        (Place(stable=tag(1)), ("/model, units: expected ['m/s^2'], but got ['g']",), "units: expected"),
    ],
)
def test_a_version_that_does_not_start_or_answers_wrongly_meets_nobody(
    here: Project, place: Place, smoke: tuple[str, ...], words: str
) -> None:
    report = release(here, around(place, Evidence(), smoke=smoke))
    assert (report.result, place.stable, place.canary) == ("rolled back", tag(1), "")
    assert words in report.sentence
    assert {share for _, share in place.shares} <= {0.0}
    assert here.registry.champion().number == 1


@pytest.mark.release
def test_a_version_that_cannot_be_packaged_is_taken_back(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: Any, **_options: Any) -> PackageReport:
        raise PackagingError(where="bento", problem="its answers differ", remedy="Mend it.")

    monkeypatch.setattr(job, "package", fails)
    assert release(here, around(Place(stable=tag(1)), Evidence())).result == "rolled back"
    assert here.registry.champion().number == 1


def test_without_evidence_it_is_withdrawn_and_said(here: Project) -> None:
    lacking = Evidence(says={"shadow": Judged("hold", missing=("120 of 200 requests",))})
    place = Place(stable=tag(1))
    report = release(here, around(place, lacking))
    assert report.result == "held too long"
    assert "120 of 200 requests" in report.sentence
    assert place.stable == tag(1)
    assert here.registry.champion().number == 2  # nothing speaks against it: scoring goes on with it
    held = next(row for row in rows(here) if row["payload"]["what"] == "held")
    assert held["payload"]["missing"] == ["120 of 200 requests"]


@pytest.mark.release
def test_another_version_that_passes_becomes_the_champion(here: Project) -> None:
    place = Place(stable=tag(2))
    report = release(here, around(place, Evidence()), Order(version=3, why="ada likes it"))
    assert (report.result, here.registry.champion().number, place.stable) == ("promoted", 3, tag(3))


@pytest.mark.release
def test_what_serves_already_is_not_released_again(here: Project) -> None:
    place = Place(stable=tag(2))
    assert release(here, around(place, Evidence())).result == "serves"
    assert place.calls == []


def test_the_first_version_serves_at_once(here: Project, packaged: list[dict[str, Any]]) -> None:
    assert release(here, around(Place(stable=""), Evidence())).result == "at once"
    assert packaged[0]["version"] == 2


def test_without_a_proxy_or_switched_off_it_says_what_happened_instead(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = release(here, around(None, Evidence()))
    assert report.result == "at once"
    assert "no steps, because HAProxy is not installed" in report.sentence
    with pytest.raises(ReleaseError, match="har promote 3"):
        release(here, around(None, Evidence()), Order(version=3))
    off = here.settings.release.model_copy(update={"automatic": False})
    project = Project(here.settings.model_copy(update={"release": off}))
    place = Place(stable=tag(1))
    report = release(project, around(place, Evidence()), Order(promoted=True))
    assert "release.automatic is off" in report.sentence
    assert place.calls == []


@pytest.mark.release
def test_a_promotion_that_another_one_has_overtaken_does_nothing(here: Project) -> None:
    report = release(here, around(Place(stable=tag(1)), Evidence()), Order(version=1, promoted=True))
    assert report.result == "superseded"


def test_where_nothing_serves_no_release_begins_and_the_registry_stays(here: Project) -> None:
    with pytest.raises(ReleaseError, match="make up"):
        release(here, around(Place(stable=tag(1)), Evidence(), refuses="the service does not run"))
    assert here.registry.champion().number == 2


@contextlib.contextmanager
def running(project: Project, where: Surroundings) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=release, args=(project, where))
    thread.start()
    yield thread
    thread.join(20)
    assert not thread.is_alive()


def test_a_second_start_reports_the_running_release_and_another_version_is_refused(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(stable=tag(1))
    where = around(place, Evidence(says={"shadow": Judged("hold", missing=("all",))}))
    off = here.settings.release.model_copy(update={"hold_h": 1.0})
    project = Project(here.settings.model_copy(update={"release": off}))
    releases = Releases(here.settings.path("bentoml"))
    with running(project, where):
        eventually(lambda: place.shares)
        second = release(here, where)
        assert second.result == "running"
        assert "version 2 is being released" in second.sentence
        with pytest.raises(ReleaseError, match="version 2 is being released"):
            release(here, where, Order(version=3))
        state = releases.state()
        assert state is not None
        releases.order(state.release, "abort", who="ada", why="enough seen")
    last = here.registry.log()[-1]
    assert (last.action, last.champion_after, last.who) == ("rollback", 1, "ada")


def dead_release(here: Project, place: Place, step: int) -> None:
    """A release whose process has died at this step."""
    release_id = "v2-dead"
    place.start(tag(2), salt=release_id)
    state = State(release_id, 2, tag(2), 1, tag(1), champion_before=2, phase="step", step=step, share=0.05)
    Releases(here.settings.path("bentoml")).save(state)


def test_a_release_whose_process_died_is_taken_up_at_its_step(here: Project) -> None:
    place = Place(stable=tag(1))
    dead_release(here, place, step=2)
    report = release(here, around(place, Evidence()))
    assert report.result == "promoted"
    assert [share for _, share in place.shares] == [0.25, 0.5, 1.0]
    assert place.calls.count(f"start {tag(2)}") == 1


@pytest.mark.release
def test_after_a_restart_of_the_machine_its_replicas_are_started_again(here: Project) -> None:
    place = Place(stable=tag(1))
    dead_release(here, place, step=3)
    place.canary = ""
    report = release(here, around(place, Evidence()))
    assert report.result == "promoted"
    assert [share for _, share in place.shares] == [0.5, 1.0]
    assert place.calls.count(f"start {tag(2)}") == 2


@pytest.mark.release
def test_a_dead_release_of_another_version_is_cleaned_up_first(here: Project) -> None:
    place = Place(stable=tag(1))
    dead_release(here, place, step=2)
    here.registry.promote(3, reason="a newer one", who="test")
    report = release(here, around(place, Evidence()), Order(promoted=True))
    assert (report.result, place.stable) == ("promoted", tag(3))
    ended = [row["payload"] for row in rows(here) if row["payload"]["what"] == "ended"]
    assert [(row["version"], row["outcome"]) for row in ended] == [(2, "aborted"), (3, "promoted")]
    assert here.registry.champion().number == 3


def test_what_a_person_aborts_while_nobody_watches_is_settled_without_a_controller(here: Project) -> None:
    place = Place(stable=tag(1))
    dead_release(here, place, step=2)
    releases = Releases(here.settings.path("bentoml"))
    releases.order("v2-dead", "abort", who="ada", why="complaints")
    report = settle(here, around(place, Evidence()))
    assert (report.result, place.canary, here.registry.champion().number) == ("aborted", "", 1)
    assert "complaints" in here.registry.log()[-1].reason
    with pytest.raises(ReleaseError, match="no release is under way"):
        settle(here, around(None, Evidence()))


def test_a_lake_that_refuses_delays_no_release_and_is_written_later(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from har.jobs import _release_book

    write = _release_book.write_record

    def refuses(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(_release_book, "write_record", refuses)
    place = Place(stable=tag(1))
    report = release(here, around(place, Evidence()))
    assert (report.result, place.stable) == ("promoted", tag(2))
    assert "not in the lake or the promotion log yet: OSError: no space left" in report.notes[0]
    assert rows(here) == []
    monkeypatch.setattr(_release_book, "write_record", write)
    assert release(here, around(place, Evidence())).result == "serves"
    assert [row["payload"]["what"] for row in rows(here)] == [record.what for record in report.records]


def test_the_version_of_a_tag() -> None:
    assert number_of(tag(12).replace("v12-000000012", "v12-0a1b2c3d")) == 12
    assert number_of("team/test-online:latest") == 0
