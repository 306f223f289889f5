"""The page's routes on a service that listens: each answer once, whoever asks, however often, on whichever replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from label_support import filled
from prometheus_client import CollectorRegistry
from serving_support import ACTIVITIES, Service, listening

from har.inference import Package
from har.labelling import Store, Task, store_path

Serve = Callable[..., Service]
PROXIED = {"x-forwarded-for": "203.0.113.9"}


@pytest.fixture(autouse=True)
def _nothing_prepared(service: Service) -> None:
    """The service is one for all tests, and begins each without tasks."""
    store(service).path.unlink(missing_ok=True)


@pytest.fixture
def tasks(service: Service) -> list[Task]:
    """Five windows to label; two people are asked about some."""
    return filled(store(service).path, 5, shared=0.0)[1]


def store(service: Service) -> Store:
    return Store(store_path(service.settings.path("journal")))


def body(task: dict[str, Any], labeller: str = "ann", activity: str | None = "WALK", **changes: Any) -> dict[str, Any]:
    interval = {"start_us": task["start_us"], "end_us": task["end_us"]}
    found = {"labeller": labeller, "task": task["task"], "answer": f"{labeller}-{task['task']}", "verdict": "label"}
    label = {"activity": activity, **interval} if activity else {"verdict": "unusable"}
    return {**found, **label, **changes}


def post(client: httpx.Client, path: str, content: dict[str, Any], status: int = 200, **how: Any) -> dict[str, Any]:
    response = client.post(f"/label/{path}", json=content, **how)
    assert response.status_code == status, response.text[:500]
    found: dict[str, Any] = response.json()
    return found if status == 200 else found["error"]


def test_the_page_comes_from_here_and_lets_nothing_else_in(service: Service) -> None:
    page = service.client.get("/label")
    assert page.status_code == 200
    assert "&quot;WALK&quot;" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "http://" not in page.text.replace("http://127.0.0.1", "")
    assert "https://" not in page.text
    for name, media in (("label.js", "text/javascript"), ("label.css", "text/css")):
        found = service.client.get(f"/pages/{name}")
        assert found.headers["content-type"].startswith(media)
        assert "default-src 'none'" in found.headers["content-security-policy"]


def test_one_window_after_the_other(service: Service, tasks: list[Task]) -> None:
    view = post(service.client, "next", {"labeller": "ann"})
    assert view["task"]["task"] == tasks[0].task
    assert view["task"]["guesses"] == [["SIT", 0.4], ["WALK", 0.35]]
    assert len(view["task"]["signal"]["channels"]) == 6
    assert (view["counts"], view["recent"]) == (False, [])
    view = post(service.client, "answers", body(view["task"]))
    assert view["task"]["task"] == tasks[1].task
    assert view["progress"] | {"per_hour": 0} == {"done": 1, "left": 4, "yours": 4, "answered": 1, "per_hour": 0}
    view = post(service.client, "skip", {"labeller": "ann", "task": tasks[1].task})
    assert view["task"]["task"] == tasks[2].task
    view = post(service.client, "answers", body(view["task"], activity=None))
    assert [one["verdict"] for one in view["recent"]] == ["unusable", "label"]
    view = post(service.client, "undo", {"labeller": "ann", "answer": view["recent"][0]["answer"]})
    assert view["task"]["task"] == tasks[2].task
    assert view["progress"]["done"] == 1
    assert store(service).answers()[0].source == "ann at 127.0.0.1"


def test_nothing_was_prepared(service: Service) -> None:
    view = post(service.client, "next", {"labeller": "ann"})
    assert view["task"] is None
    assert "har labels --prepare" in view["why"]
    assert post(service.client, "skip", {"labeller": "ann", "task": "0" * 16}, 404)["remedy"].endswith("--prepare.")


def test_a_double_click_and_a_request_sent_again_count_once(service: Service, tasks: list[Task]) -> None:
    first = post(service.client, "next", {"labeller": "ann"})["task"]
    with ThreadPoolExecutor(4) as pool:
        views = list(pool.map(lambda _: post(service.client, "answers", body(first)), range(4)))
    assert {view["progress"]["done"] for view in views} == {1}
    assert {view["task"]["task"] for view in views} == {tasks[1].task}
    error = post(service.client, "answers", body(first, activity="RUN", answer="another-click"), 409)
    assert "did not answer" in error["expected"]
    assert [answer.activity for answer in store(service).answers()] == ["WALK"]


def test_two_replicas_and_a_restart_know_the_same(service: Service, tasks: list[Task], package: Package) -> None:
    from bentos._front import Front
    from bentos.online._answering import Answering
    from bentos.online.app import App

    with ExitStack() as stack:
        for _ in range(2):  # the second of them is the first one's successor
            app = App(Answering(package, service.settings, registry=CollectorRegistry()))
            other = stack.enter_context(httpx.Client(base_url=stack.enter_context(listening(Front(app))), timeout=10))
            view = post(other, "next", {"labeller": "ann"})
            again = post(service.client, "next", {"labeller": "ann"})
            assert view["task"] == again["task"]
            content = body(view["task"])
            assert post(other, "answers", content)["task"] == post(service.client, "answers", content)["task"]
            assert post(service.client, "next", {"labeller": "ben"})["task"] != again["task"]
    assert len(store(service).answers()) == 2


def test_people_are_compared(service: Service) -> None:
    filled(store(service).path, 4, shared=1.0)
    for labeller, activities in (("ann", ["SIT", "WALK", "RUN", "RUN"]), ("ben", ["SIT", "WALK", "RUN", "SIT"])):
        for activity in activities:
            task = post(service.client, "next", {"labeller": labeller})["task"]
            post(service.client, "answers", body(task, labeller, activity))
    found = service.client.get("/label/agreement").json()
    (pair,) = found["pairs"]
    assert (pair["first"], pair["second"], pair["windows"], pair["agreed"]) == ("ann", "ben", 4, 3)
    assert found["kappa"] == pytest.approx(7 / 11)
    assert found["disputed"] == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"labeller": "x, token first"}, "labeller"),
        ({"labeller": ""}, "labeller"),
        ({"labeller": 3}, "labeller"),
        ({"task": "../../etc"}, "task"),
        ({"answer": "short"}, "answer"),
        ({"verdict": "maybe"}, "verdict"),
        ({"activity": "FLY"}, "activity"),
        ({"activity": None}, "activity, start_us, end_us"),
        ({"verdict": "unsure"}, "verdict"),
        ({"start_us": -1}, "start_us"),
        ({"start_us": 1}, "start_us, end_us"),
        ({"more": 1}, "body"),
    ],
)
def test_what_makes_no_sense_is_refused(
    service: Service, tasks: list[Task], changes: dict[str, Any], field: str
) -> None:
    content = {**body({"task": tasks[0].task, "start_us": tasks[0].start_us, "end_us": tasks[0].end_us}), **changes}
    assert post(service.client, "answers", content, 422)["field"] == field
    assert store(service).answers() == []


def test_no_json_at_all(service: Service, tasks: list[Task]) -> None:
    for content in (b"[]", b"{", b"\xff"):
        response = service.client.post("/label/next", content=content, headers={"content-type": "application/json"})
        assert response.status_code == 422
    assert service.client.get("/label/next").status_code == 405
    assert service.client.post("/label").status_code == 405


def test_from_elsewhere_it_needs_to_be_switched_on(service: Service, tasks: list[Task]) -> None:
    assert service.client.get("/label", headers=PROXIED).status_code == 403
    for path in ("next", "answers", "skip", "undo"):
        post(service.client, path, {"labeller": "ann"}, 403, headers=PROXIED)
    assert service.client.get("/label/agreement", headers=PROXIED).status_code == 403


@pytest.fixture
def with_tokens(
    serve: Serve, package: Package, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Service, dict[str, str]]]:
    monkeypatch.setenv("HAR_STREAM__PAGES", "token")
    service = serve(package)
    from har.tokens import add_token

    token = add_token(service.settings.path("feedback_token"), "clinic")
    yield service, {"authorization": f"Bearer {token}"}


def test_a_token_makes_it_a_persons_word(with_tokens: tuple[Service, dict[str, str]]) -> None:
    service, token = with_tokens
    filled(store(service).path, 3)
    assert service.client.get("/label", headers=PROXIED).status_code == 200
    assert post(service.client, "next", {"labeller": "ann"}, 401, headers=PROXIED)["field"] == "Authorization"
    view = post(service.client, "next", {"labeller": "ann"}, headers={**PROXIED, **token})
    assert view["counts"] is True
    post(service.client, "answers", body(view["task"]), headers={**PROXIED, **token})
    assert [answer.source for answer in store(service).answers()] == ["ann at a proxy, token clinic"]
    # Without the token, nobody takes back what came with it, also on this machine.
    error = post(service.client, "undo", {"labeller": "ann", "answer": body(view["task"])["answer"]}, 403)
    assert "token" in error["expected"]


def test_the_cookie_of_a_visit_names_the_token_on_this_machine_too(
    with_tokens: tuple[Service, dict[str, str]],
) -> None:
    service, token = with_tokens
    filled(store(service).path, 3)
    assert post(service.client, "next", {"labeller": "ann"})["counts"] is False
    assert service.client.post("/login", headers=token).status_code == 200
    view = post(service.client, "next", {"labeller": "ann"})  # the client keeps the cookie
    assert view["counts"] is True
    post(service.client, "answers", body(view["task"]))
    assert store(service).answers()[0].source == "ann at 127.0.0.1, token clinic"


def test_pages_can_be_off(serve: Serve, package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_STREAM__PAGES", "off")
    service = serve(package)
    assert service.client.get("/label").status_code == 404
    post(service.client, "next", {"labeller": "ann"}, 404)


def test_a_store_that_cannot_be_written_is_said_and_tried_again(service: Service, tasks: list[Task]) -> None:
    path: Path = store(service).path
    kept = path.read_bytes()
    path.write_bytes(b"no database, but long enough to be looked at")
    content = body({"task": tasks[0].task, "start_us": tasks[0].start_us, "end_us": tasks[0].end_us})
    response = service.client.post("/label/answers", json=content)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    path.write_bytes(kept)
    post(service.client, "answers", content)
    assert len(store(service).answers()) == 1


def test_the_projects_activities_are_offered_all(service: Service) -> None:
    page = service.client.get("/label").text
    assert all(f"&quot;{name}&quot;" in page for name in ACTIVITIES)
