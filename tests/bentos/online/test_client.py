"""BentoML's own clients: over HTTP, and from another service that depends on this one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_support import ACTIVITIES, Served, bentoml_serving, eventually, movements, read_journal

from har.inference import Classifier, Package

pytestmark = pytest.mark.stack

START, START_US = "2026-01-31T10:00:00.250+01:00", 1_769_850_000_250_000

# In a process of its own: BentoML's client warns on import, and when it is collected.
CLIENT = """
import json, sys
import bentoml
import numpy as np
from bentoml.exceptions import BentoMLException

windows = np.load(sys.argv[2])
start, end = sys.argv[3], "2026-01-31T09:05:00Z"


def refusal(call, *arguments, **named):
    try:
        return call(*arguments, **named)
    except BentoMLException as error:
        return [error.error_code.value, str(error)]


with bentoml.SyncHTTPClient(sys.argv[1]) as client:
    placed = client.predict(windows[:1], subject="s07", session="left", start=start)
    print(json.dumps({
        "array": client.predict(windows=windows),
        "lists": client.predict(windows=windows.tolist()),
        "placed": placed,
        "by_request": client.feedback(activity="RUN", request_id=placed["request_id"]),
        "by_interval": client.feedback("SIT", subject="s07", start=start, end=end),
        "transposed array": refusal(client.predict, windows.transpose(0, 2, 1)),
        "transposed lists": refusal(client.predict, windows.transpose(0, 2, 1).tolist()),
        "unknown activity": refusal(client.feedback, activity="FLY", request_id="a"),
    }))
"""

CALLER = """
import bentoml
import numpy as np
from bentoml.exceptions import BentoMLException

from bentos.online.service import Online


@bentoml.service(workers=1)
class Caller:
    online = bentoml.depends(Online)

    @bentoml.api
    async def ask(self, windows: list, subject: str) -> dict:
        answer = await self.online.to_async.predict(np.array(windows, np.float32), subject=subject)
        feedback = await self.online.to_async.feedback("RUN", request_id=answer.request_id)
        try:
            await self.online.to_async.predict(np.array(windows, np.float32)[:, :3])
        except BentoMLException as error:
            return {**answer.model_dump(), **feedback.model_dump(), "refusal": error.error_code.value}
        return {}
"""

WINDOWS = movements(3)


@pytest.fixture(scope="module")
def served(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with bentoml_serving(model_store, tmp_path_factory.mktemp("client")) as served:
        yield served


@pytest.fixture(scope="module")
def results(served: Served, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the client's calls returned."""
    file = tmp_path_factory.mktemp("windows") / "windows.npy"
    np.save(file, WINDOWS)
    command = [sys.executable, "-c", CLIENT, served.url, str(file), START]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def table(answer: dict[str, Any]) -> np.ndarray:
    """Probabilities (N, K) in the order of the activities."""
    return np.array([[one["probabilities"][name] for name in ACTIVITIES] for one in answer["predictions"]])


def lines(served: Served, kind: str, count: int) -> list[dict[str, Any]]:
    """The log's lines of a kind, once there are this many."""

    def found() -> list[dict[str, Any]] | None:
        every = [line for line in read_journal(served.settings.path("journal")) if line["kind"] == kind]
        return every if len(every) >= count else None

    return eventually(found)


@pytest.mark.parametrize("form", ["array", "lists"])
def test_predict_answers_as_the_classifier(results: dict[str, Any], package: Package, form: str) -> None:
    expected = Classifier(package.model).predict(WINDOWS).probabilities
    np.testing.assert_allclose(table(results[form]), expected, atol=1e-5)
    assert (results[form]["model_version"], results[form]["fallback"]) == (7, False)


def test_place_and_feedback_are_recorded(results: dict[str, Any], served: Served) -> None:
    request_id = results["placed"]["request_id"]
    (line,) = [line for line in lines(served, "prediction", 3) if line["request_id"] == request_id]
    assert (line["subject"], line["session"], line["start_us"]) == ("s07", "left", START_US)
    first, second = lines(served, "feedback", 2)
    assert first["feedback_id"] == results["by_request"]["feedback_id"]
    assert (first["activity"], first["request_id"]) == ("RUN", request_id)
    assert second["feedback_id"] == results["by_interval"]["feedback_id"]
    assert (second["activity"], second["subject"], second["start_us"]) == ("SIT", "s07", START_US)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("transposed array", "a list of 16 samples"),
        ("transposed lists", "a list of 16 samples"),
        ("unknown activity", "SIT, WALK, RUN"),
    ],
)
def test_a_refusal_is_an_error_with_the_reason(results: dict[str, Any], call: str, reason: str) -> None:
    status, text = results[call]
    assert status == 422
    assert reason in text


def test_the_schema_names_both_methods(served: Served) -> None:
    routes = {route["name"]: route for route in served.client.get("/schema.json").json()["routes"]}
    assert {name: route["route"] for name, route in routes.items()} == {"predict": "/predict", "feedback": "/feedback"}
    windows = routes["predict"]["input"]["properties"]["windows"]
    assert (windows["type"], windows["dtype"]) == ("tensor", "float32")
    assert "(N, 16, 6)" in windows["description"]
    assert routes["feedback"]["input"]["required"] == ["activity"]


def test_another_service_can_depend_on_it(model_store: Path, package: Package, tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text(CALLER)
    root = tmp_path / "project"
    with bentoml_serving(model_store, root, service="caller:Caller", folder=tmp_path) as served:
        answer = served.client.post("/ask", json={"windows": WINDOWS.tolist(), "subject": "s03"}).json()
        np.testing.assert_allclose(table(answer), Classifier(package.model).predict(WINDOWS).probabilities, atol=1e-5)
        assert answer["refusal"] == 422
        (line,) = lines(served, "prediction", 1)
        assert (line["subject"], line["request_id"]) == ("s03", answer["request_id"])
        (feedback,) = lines(served, "feedback", 1)
        assert (feedback["feedback_id"], feedback["request_id"]) == (answer["feedback_id"], answer["request_id"])
