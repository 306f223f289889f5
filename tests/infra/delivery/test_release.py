"""What a release to the stack's box does with a good candidate and every kind of bad one; services are applications."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_support import listening, train_model
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from har.errors import ReleaseError
from har.inference import Classifier
from infra.delivery.online import _gate, _sites
from infra.delivery.online import _stack_release as releasing
from infra.delivery.online._gate import Gate, Traffic
from infra.delivery.online._history import History
from infra.delivery.online._sites import number_of
from infra.delivery.online._stack_release import release, roll_back
from infra.delivery.online.candidate import Candidate

pytestmark = pytest.mark.stack

STABLE, NEW = "test-online:v1-00000000", "test-online:v2-00000000"
QUICK = Gate(requests=24, watch_s=0.0)


@dataclass
class Behaviour:
    """How a stand-in answers: the real model's probabilities, unless told otherwise."""

    version: int
    fails: Callable[[int], bool] = lambda number: False
    late: Callable[[int], bool] = lambda number: False
    shift: float = 0.0
    errors_counted: int = 0
    asked: int = 0


@dataclass
class Place:
    """A site whose service is `now`; `beside` is what a candidate does before it serves."""

    classifier: Classifier
    history: History
    now: Behaviour | None
    beside_it: Behaviour
    in_place: Behaviour
    address: str = ""
    switched: list[str] = field(default_factory=list)

    def serving(self) -> str:
        return "" if self.now is None else (self.switched or [STABLE])[-1]

    def place(self, candidate: Candidate) -> str:
        return candidate.online

    @contextmanager
    def beside(self, what: str) -> Iterator[str]:
        with listening(application(self.classifier, lambda: self.beside_it)) as address:
            yield address

    def switch(self, what: str) -> None:
        self.switched.append(what)
        self.now = self.in_place if number_of(what) == 2 else Behaviour(1)


def application(classifier: Classifier, behaviour: Callable[[], Behaviour | None]) -> Starlette:
    metadata = classifier.metadata

    async def answer(request: Request) -> Response:
        now = behaviour()
        body = await request.body()
        kind = request.headers.get("content-type", "")
        error = {"error": {"field": "", "expected": "", "got": "", "remedy": ""}}
        if now is None or request.url.path == "/readyz":
            return PlainTextResponse("", 503 if now is None else 200)
        if request.url.path == "/model":
            described = {name: getattr(metadata, name) for name in ("activities", "channels", "units", "rate_hz")}
            return JSONResponse({"version": now.version, "max_windows": 16, **described})
        if request.url.path == "/metrics":
            lines = [
                f'har_model_info{{role="champion",version="{now.version}"}} 1.0',
                f'har_requests_total{{route="/predict",status="200"}} {max(now.asked, 1)}.0',
                f'har_requests_total{{route="/predict",status="500"}} {now.errors_counted}.0',
            ]
            return PlainTextResponse("\n".join(lines) + "\n")
        if not request.url.path.startswith("/predict"):
            return JSONResponse(error, 404)
        if kind not in ("application/json", "application/octet-stream"):
            return JSONResponse(error, 415)
        if kind == "application/json":
            try:
                windows = np.array(json.loads(body)["windows"], np.float32)
            except ValueError:
                return JSONResponse(error, 400)
        else:
            shape = [int(part) for part in request.query_params["shape"].split(",")]
            windows = np.frombuffer(body, "<f4").reshape(shape)
        if windows.shape[1] != metadata.length:
            return JSONResponse(error, 422)
        if len(windows) > 16:
            return JSONResponse(error, 413)
        now.asked += 1
        if now.fails(now.asked):
            return PlainTextResponse("out of order", 500)
        rows = classifier.predict(windows).probabilities + now.shift
        predictions = [{"probabilities": dict(zip(metadata.activities, row.tolist(), strict=True))} for row in rows]
        late = now.late(now.asked)
        return JSONResponse({"model_version": now.version, "fallback": late, "predictions": predictions})

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_model(tmp_path_factory.mktemp("model") / "model.onnx", seed=1)


@pytest.fixture
def candidate(model: Path, tmp_path: Path) -> Candidate:
    return Candidate(2, NEW, "test-batch:v2-00000000", model, tmp_path)


@pytest.fixture
def place(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A site that serves version 1, to which a good version 2 comes."""
    monkeypatch.setattr(_sites, "_SETTLED", 2)
    monkeypatch.setattr(_sites, "_SETTLE_PAUSE_S", 0.01)
    monkeypatch.setattr(_sites, "_SWITCH_TIMEOUT_S", 1.0)
    monkeypatch.setattr(_gate, "_PAUSE_S", 0.0)
    classifier = Classifier(model, threads=1)
    site = Place(classifier, History(tmp_path / "releases.jsonl"), Behaviour(1), Behaviour(2), Behaviour(2))
    with ExitStack() as stack:
        site.address = stack.enter_context(listening(application(classifier, lambda: site.now)))
        yield site


def results(place: Place) -> list[str]:
    return [line["result"] for line in place.history.lines()]


def test_a_good_candidate_serves(place: Place, candidate: Candidate, capsys: Any) -> None:
    assert release(place, candidate, QUICK, why="better at stairs") == 0
    assert place.switched == [NEW]
    switching, promoted = place.history.lines()
    assert (switching["result"], promoted["result"]) == ("switching", "promoted")
    assert (promoted["from"], promoted["to"], promoted["why"]) == (STABLE, NEW, "better at stairs")
    assert {"when", "who"} <= promoted.keys()
    assert promoted["figures"]["watched"]["asked"] == 24
    assert switching["figures"]["stable"]["asked"] == switching["figures"]["candidate"]["asked"] == 24
    assert f"{NEW} serves" in capsys.readouterr().err


BAD_BESIDE = {
    "another version": (Behaviour(3), "expected version 2, but got 3"),
    "other answers": (Behaviour(2, shift=0.001), "expected the model's probabilities to 1e-05"),
    "errors": (Behaviour(2, fails=lambda number: number % 20 == 19), "of 24 requests failed: HTTPStatusError"),
    "late": (Behaviour(2, late=lambda number: number % 4 == 3), "its fallback answered"),
    "always late": (Behaviour(2, late=lambda number: True), "the fallback answered"),
}


@pytest.mark.parametrize("kind", BAD_BESIDE)
def test_a_bad_candidate_never_serves(place: Place, candidate: Candidate, kind: str, capsys: Any) -> None:
    place.beside_it, words = BAD_BESIDE[kind]
    place.beside_it.asked = 0
    assert release(place, candidate, QUICK, why="try") == 1
    assert place.switched == []
    assert results(place) == ["refused"]
    said = capsys.readouterr().err
    assert f"{NEW} is refused, {STABLE} goes on serving" in said
    assert words in said


def test_a_busy_machine_delays_both_and_refuses_nobody(place: Place, candidate: Candidate) -> None:
    assert place.now is not None
    place.beside_it = place.in_place = Behaviour(2, late=lambda number: number % 3 == 0)
    place.now.late = lambda number: number % 3 == 0
    # The one that serves afterwards is compared with what the stable one had counted, by /metrics.
    place.in_place = Behaviour(2)
    assert release(place, candidate, QUICK, why="busy") == 0


BAD_IN_PLACE = {
    "another version": (Behaviour(3), "expected 2, but got 3"),
    "errors": (Behaviour(2, fails=lambda number: number > 10), "requests failed"),
    "late": (Behaviour(2, late=lambda number: number > 4), "its fallback answered"),
    "other answers": (Behaviour(2, shift=0.001), "expected the model's probabilities"),
}


@pytest.mark.parametrize("kind", BAD_IN_PLACE)
def test_a_candidate_that_fails_in_place_is_taken_back(
    place: Place, candidate: Candidate, kind: str, capsys: Any
) -> None:
    place.in_place, words = BAD_IN_PLACE[kind]
    place.in_place.asked = 0
    assert release(place, candidate, QUICK, why="try") == 1
    assert place.switched == [NEW, STABLE]
    assert results(place) == ["switching", "rolled back"]
    said = capsys.readouterr().err
    assert f"{NEW} was taken back, {STABLE} serves" in said
    assert words in said


def test_errors_that_only_clients_see_are_read_from_the_metrics(
    place: Place, candidate: Candidate, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    serving = place.in_place

    def fails(number: int) -> bool:
        serving.errors_counted = number  # every other request, of somebody else, fails
        return False

    serving.fails = fails
    assert release(place, candidate, Gate(requests=60, watch_s=0.0), why="try") == 1
    assert place.switched == [NEW, STABLE]
    assert "requests failed (" in capsys.readouterr().err


def test_an_interrupted_release_is_taken_back(
    place: Place, candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(releasing, "watch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        release(place, candidate, QUICK, why="try")
    assert place.switched == [NEW, STABLE]
    assert place.history.lines()[-1]["why"] == "the release was interrupted"


def test_rolling_back_is_one_step_and_noted(place: Place, candidate: Candidate) -> None:
    release(place, candidate, QUICK, why="better")
    assert roll_back(place, why="complaints from ward 3") == 0
    assert place.switched == [NEW, STABLE]
    last = place.history.lines()[-1]
    assert (last["result"], last["from"], last["to"], last["why"]) == (
        "rolled back",
        NEW,
        STABLE,
        "complaints from ward 3",
    )
    with pytest.raises(ReleaseError, match="expected the release of test-online:v1-00000000"):
        roll_back(place, why="once more")


def test_a_release_that_was_killed_after_the_switch_can_be_rolled_back(place: Place) -> None:
    place.history.add("switching", before=STABLE, after=NEW, why="killed")
    place.switch(NEW)
    assert roll_back(place, why="it was killed") == 0
    assert place.switched == [NEW, STABLE]


def test_the_first_release_has_nothing_to_go_back_to(place: Place, candidate: Candidate) -> None:
    place.now = None
    assert release(place, candidate, QUICK, why="first") == 0
    assert place.history.lines()[-1]["from"] == ""
    with pytest.raises(ReleaseError, match="with what served before, but got none"):
        roll_back(place, why="regret")


def test_a_first_release_that_fails_says_that_nothing_is_left(place: Place, candidate: Candidate) -> None:
    place.now, place.in_place = None, Behaviour(3)
    with pytest.raises(ReleaseError, match="nothing served before it"):
        release(place, candidate, QUICK, why="first")


def test_two_releases_at_once_are_refused(place: Place, candidate: Candidate) -> None:
    with place.history.one_at_a_time(), pytest.raises(ReleaseError, match="another release is under way"):
        release(place, candidate, QUICK, why="second")
    assert place.switched == []


def test_half_a_line_of_a_killed_process_hides_no_other(tmp_path: Path) -> None:
    history = History(tmp_path / "releases.jsonl")
    history.add("promoted", before="", after=STABLE, why="first")
    with history.path.open("a") as stream:
        stream.write('{"when": "2026-')
    history.add("promoted", before=STABLE, after=NEW, why="second")
    assert [line["why"] for line in history.lines()] == ["first", "second"]
    assert history.before(NEW) == STABLE
    assert history.path.stat().st_mode & 0o077 == 0


def test_traffic_is_compared_with_what_was_usual() -> None:
    gate = Gate()
    usual = Traffic(1000, 5, 20)
    assert Traffic(1000, 14, 60).worse(usual, gate) == []
    assert "20 of 1000 requests failed (2.0%)" in Traffic(1000, 20, 0).worse(usual, gate)[0]
    assert "late" in Traffic(1000, 0, 80).worse(usual, gate)[0]
    # Two failures are no trend.
    assert Traffic(10, 2, 0).worse(Traffic(), gate) == []
    # A restarted service counts from 0.
    assert Traffic(5, 3, 0).since(usual) == Traffic(5, 3, 0)


@pytest.mark.parametrize("tag", ["a:latest", "a:v1", "a", "a:v1-xyz"])
def test_a_tag_without_a_version_is_refused(tag: str) -> None:
    with pytest.raises(ReleaseError, match="expected a tag such as v12-0a1b2c3d"):
        number_of(tag)
    assert number_of("localhost:5000/team/a-online:v12-0a1b2c3d") == 12
