"""`package` on a real server: the champion's bentos are built once, tested before they are recorded, and reused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from tests_support import HAR_TOML, copy_code, write_recording

from flows import _tasks
from flows._tasks import tasks
from flows.ingest import ingest
from flows.package import package
from flows.train import train
from har.errors import LakeBusyError, ModelMismatchError, NoChampionError, PackagingError, RegistryError
from har.jobs import PROMOTED, no_receiver, promotion_event
from har.jobs.package import TAGS
from har.project import Project, open_project
from har.settings import load_settings
from har_cli._shared import sender
from infra.local.child import descendants

ROOT = Path(__file__).parents[2]
WRONG_ANSWERS = """

_honest = Classifier.predict


def _upside_down(*arguments: object, **options: object) -> Prediction:
    probabilities, *others = _honest(*arguments, **options)
    return Prediction(np.ascontiguousarray(probabilities[:, ::-1]), *others)


Classifier.predict = _upside_down
"""

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def trained(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its own copy of the code, and two versions: 1 serves, 2 was rejected by hand."""
    root = tmp_path_factory.mktemp("packaged") / "project"
    root.mkdir()
    (root / "har.toml").write_text(HAR_TOML)
    copy_code(root)
    for subject in ("s01", "s02", "s03", "s04", "s05", "s06"):
        for activity in ("PEN", "ROW"):
            write_recording(root / "data" / "inbox", "2024-01-01", subject, activity.lower(), activity, seconds=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAR_ROOT", str(root))
        # On a busy machine every model is slow, and none would be promoted.
        patch.setenv("HAR_GATES__LATENCY_MS", "10000")
        ingest()
        assert train().version == 1
        registry = open_project().registry
        if not train(seed=1).promoted:
            registry.promote(2, reason="the second of two", who="test")
        registry.rollback(reason="the first shall serve", who="test")
    return root


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The flows' project in this test; its registry, store and code are as before when the test ends."""
    monkeypatch.setenv("HAR_ROOT", str(trained))
    before = set(descendants(os.getpid()))
    yield open_project()
    assert set(descendants(os.getpid())) <= before


def store(project: Project, *parts: str) -> Path:
    return project.settings.path("bentoml").joinpath(*parts)


def latest(project: Project) -> set[str]:
    found = store(project).glob("*/*/latest")
    return {f"{path.parent.name}:{path.read_text()}" for path in found}


def test_the_champion_is_built_tested_and_recorded_once_and_a_rollback_finds_its_bentos_again(here: Project) -> None:
    first = package()
    assert (first.version, first.built) == (1, True)
    assert (
        here.registry.version(1).tags.items()
        >= dict(zip(TAGS, (first.online_tag, first.batch_tag), strict=True)).items()
    )
    key = first.online_tag.partition(":")[2]
    assert (first.online_tag, first.batch_tag) == (f"test-project-online:{key}", f"test-project-batch:{key}")
    assert key.startswith("v1-")
    assert latest(here) == {first.online_tag, first.batch_tag, f"test-project:{key}"}
    described = json.loads(store(here, "models", "test-project", key, "package.json").read_text())
    assert (described["version"], described["previous"], described["shadow"]) == (1, 2, None)
    card = store(here, "models", "test-project", key, "card.md").read_text(encoding="utf-8")
    assert card == here.registry.artifact(1, "card.md").read_text(encoding="utf-8")
    # What the try asked for is no prediction of a watch.
    assert not here.settings.path("journal").exists()
    with get_client(sync_client=True) as client:
        assert "package-run" in {artifact.key for artifact in client.read_latest_artifacts()}

    again = package()
    assert (again.online_tag, again.batch_tag, again.built) == (first.online_tag, first.batch_tag, False)
    assert again.seconds < 5

    tried = package(version=2, shadow=1)
    assert (tried.version, tried.built) == (2, True)
    assert latest(here) >= {tried.online_tag, tried.batch_tag}
    key = tried.online_tag.partition(":")[2]
    described = json.loads(store(here, "models", "test-project", key, "package.json").read_text())
    assert (described["version"], described["previous"], described["shadow"]) == (2, 1, 1)

    back = package()
    assert (back.version, back.online_tag, back.built) == (1, first.online_tag, False)
    assert latest(here) >= {first.online_tag, first.batch_tag}


@pytest.mark.parametrize(
    ("name", "addition", "words"),
    [
        # The copy in the bento differs from what this process runs: caught only if the bento serves its own.
        ("src/har/inference/_classifier.py", WRONG_ANSWERS, "the model's probabilities to 1e-05"),
        pytest.param(
            "bentos/batch/service.py",
            "\nraise RuntimeError('broken on purpose')\n",
            "broken on purpose",
            marks=pytest.mark.release,
        ),
    ],
)
def test_a_bento_that_fails_its_test_is_removed(here: Project, name: str, addition: str, words: str) -> None:
    source = here.settings.root / name
    honest = source.read_text()
    before, tags = latest(here), here.registry.version(1).tags
    kept = set(store(here).glob("*/*/*"))
    source.write_text(honest + addition)
    try:
        with pytest.raises(PackagingError, match=words) as caught:
            package()
    finally:
        source.write_text(honest)
    assert "log ends" in str(caught.value)
    assert here.registry.version(1).tags == tags
    assert latest(here) == before
    assert set(store(here).glob("*/*/*")) == kept


@pytest.mark.release
def test_a_killed_build_does_not_count(here: Project) -> None:
    made = package()
    key = made.batch_tag.partition(":")[2]
    half = store(here, "bentos", "test-project-batch", key)
    (half / "bento.yaml").unlink()
    again = package()
    assert (again.batch_tag, again.built) == (made.batch_tag, True)
    assert (half / "bento.yaml").exists()


def test_without_a_champion_the_message_says_what_to_do(server: str, project: Path) -> None:
    (project / "bentos").symlink_to(ROOT / "bentos")
    with pytest.raises(NoChampionError, match="har train"):
        package()
    command = [sys.executable, "-m", "har_cli", "package"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "NoChampionError" in done.stderr
    assert "har train" in done.stderr


def test_what_cannot_be_packaged_is_refused_by_name(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RegistryError, match="version 1 cannot be its own shadow"):
        package(shadow=1)
    with pytest.raises(RegistryError, match="expected one of the versions 1, 2, but got 9"):
        package(version=9)
    monkeypatch.setenv("HAR_WINDOWS__LENGTH_S", "2.0")
    with pytest.raises(ModelMismatchError, match="length: expected 100, but got 200"):
        package()


@pytest.mark.parametrize("at_once", [True, False])
def test_a_task_is_retried_after_a_temporary_failure(
    server: str, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tasks, "PAUSES_S", [0, 0, 0])
    tries = {"busy": 0, "bad": 0, "costly": 0}

    def costly(kind: str) -> int:
        tries[kind] += 1
        raise LakeBusyError(expected="a free table", got="a writer", remedy="Wait.")

    def work(kind: str) -> int:
        tries[kind] += 1
        if kind == "busy" and tries[kind] < 3:
            raise LakeBusyError(expected="a free table", got="a writer", remedy="Wait.")
        if kind == "bad":
            raise PackagingError(expected="an answer", got="another", remedy="Fix it.")
        return tries[kind]

    @flow
    def try_out(kind: str) -> int:
        (result,) = tasks(at_once=at_once, without_retries=[costly])(costly if kind == "costly" else work, [kind])
        return result

    assert try_out("busy") == 3
    with pytest.raises(PackagingError):
        try_out("bad")
    with pytest.raises(LakeBusyError):
        try_out("costly")
    assert (tries["bad"], tries["costly"]) == (1, 1)


def test_a_promotion_is_sent_as_an_event_if_a_server_runs(
    server: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(project)
    assert sender(settings)(promotion_event(7)) == ""
    with get_client(sync_client=True) as client:
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
        assert sender(settings)(promotion_event(7)) != ""
        monkeypatch.delenv("PREFECT_API_URL")
        assert sender(settings) is no_receiver
        question = {"filter": {"event": {"name": [PROMOTED]}}}
        deadline = time.monotonic() + 30
        # The server writes events down in batches, some seconds apart; other tests' versions are among them.
        found: dict[int, str] = {}
        while 7 not in found:
            assert time.monotonic() < deadline
            time.sleep(0.5)
            events = client.request("POST", "/events/filter", json=question).json()["events"]
            found = {event["payload"]["version"]: event["resource"]["prefect.resource.id"] for event in events}
    assert found[7] == "har.model.test-project"
    assert 8 not in found
