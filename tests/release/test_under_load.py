"""Releases for real: HAProxy, bentos as processes, steady load of twelve people, and every kind of bad version.

What is broken is the code copy inside a bento, or the model in a package. Each test prints its figures.
"""

from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from ports_support import free_port
from serving_support import eventually, make_rule, movements, train_model, write_settings
from steady_support import (
    NAME,
    ROOT,
    Load,
    copy_version,
    edit,
    environment,
    kept,
    prometheus,
    releasing,
    tag,
)
from tests_support import copy_code, example_recipe

from har.inference import Classifier, Package
from har.jobs.package import TAGS
from har.project import Project, open_project
from har.release import Releases
from har.settings import load_settings
from infra.bentoml.bentos import ProjectBentos
from infra.local.third_party import installed
from infra.serving.processes import Processes

pytestmark = [
    pytest.mark.release,
    pytest.mark.stack,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(installed("haproxy") is None, reason="HAProxy is not installed"),
]

STABLE, GOOD, ERRORS, SLOW, SINGLE, CRASHES, LEAKS, UNIT = range(1, 9)
SETTINGS = """
deadline_ms = 3000
timeout_s = 10

[release]
dwell_s = 4
requests = 40
subjects = 3
steps = [0.5, 1.0]
keep_former_s = 4
lease_s = 4
hold_h = 0.05
"""
_WRAP = """

_honest_predict = Classifier.predict


def _dishonest(*arguments, **options):
    {before}
    return _honest_predict(*arguments, **options)


Classifier.predict = _dishonest
"""


def one_answer(model: Path, target: Path) -> Path:
    """A model that gives every window the first class."""
    changed = onnx.load(model)
    graph = changed.graph
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = ["honest" if value == "probabilities" else value for value in values]
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "nothing"))
    graph.initializer.append(numpy_helper.from_array(np.array([[0.9, 0.05, 0.05]], np.float32), "always"))
    graph.node.append(helper.make_node("Mul", ["honest", "nothing"], ["silenced"]))
    graph.node.append(helper.make_node("Add", ["silenced", "always"], ["probabilities"]))
    onnx.save(changed, target)
    return target


def wrong_unit(model: Path, target: Path) -> Path:
    """A model whose metadata names another unit than the project has."""
    changed = onnx.load(model)
    metadata = dataclasses.replace(Classifier(model).metadata, units=("g",) * 3 + ("rad/s",) * 3)
    helper.set_model_props(changed, metadata.to_properties())
    onnx.save(changed, target)
    return target


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with eight registered and packaged versions; the first serves."""
    folder = tmp_path_factory.mktemp("load")
    root = folder / "project"
    settings = write_settings(root)
    (root / "har.toml").write_text((root / "har.toml").read_text() + SETTINGS)
    settings = load_settings(root)
    copy_code(root)
    stable, good = (train_model(folder / f"{seed}.onnx", seed=seed) for seed in (STABLE, GOOD))
    models = dict.fromkeys((GOOD, ERRORS, SLOW, CRASHES, LEAKS), good)
    models |= {STABLE: stable, SINGLE: one_answer(good, folder / "single.onnx")}
    models |= {UNIT: wrong_unit(good, folder / "unit.onnx")}
    store = settings.path("bentoml")
    bentos = ProjectBentos(root, store)
    package = Package.write(
        folder / "package", model=stable, version=1, previous=(good, GOOD), shadow=None, rule=make_rule()
    )
    with bentos.lock():
        bentos.build(NAME, tag(1).partition(":")[2], package.model.parent, ("bentofile.yaml",))
    bentos.point_at(tag(1))
    code = {
        version: copy_version(store, STABLE, version, models[version], (stable, STABLE))
        for version in range(GOOD, UNIT + 1)
    }
    predict, app = "src/har/inference/_classifier.py", "bentos/online/app.py"
    # Copies for the shadow and smoke tests are answered well: the fault meets real requests first.
    edit(
        code[ERRORS] / app,
        r"(    async def _classify\(.*?\n)(        request\.scope)",
        '\\1        if not request_id.startswith("probe."):\n            raise RuntimeError("broken")\n\\2',
    )
    for version, before in ((SLOW, "__import__('time').sleep(0.6)"), (LEAKS, "_kept.append(b'x' * 4_000_000)")):
        path = code[version] / predict
        path.write_text(path.read_text() + "\n_kept = []\n" + _WRAP.format(before=before))
    service = code[CRASHES] / "bentos" / "online" / "service.py"
    service.write_text('raise SystemExit("broken at start")\n' + service.read_text())
    registry = Project(settings).registry
    for version in range(STABLE, UNIT + 1):
        number = registry.register(
            models[version],
            params={"version": version},
            metrics={"accuracy": 0.95},
            recipe=example_recipe(seed=version),
            report=None,
            tags={"seed": version},
        ).number
        assert number == version
        registry.set_tags(number, {TAGS[0]: tag(number), TAGS[1]: tag(number).replace("online", "batch")})
    registry.promote(STABLE, reason="first", who="test")
    return root


@dataclasses.dataclass
class Running:
    """The kept service, and the load on it."""

    root: Path
    load: Load

    @property
    def place(self) -> Processes:
        return Processes(load_settings(self.root))

    @property
    def releases(self) -> Releases:
        return Releases(load_settings(self.root).path("bentoml"))

    def champion(self) -> int:
        return open_project(self.root).registry.champion().number

    def promote(self, version: int) -> None:
        open_project(self.root).registry.promote(version, reason="the gate says so", who="test")

    def say(self, **figures: object) -> None:
        print({name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()})


@pytest.fixture(scope="module")
def service(root: Path) -> Iterator[Running]:
    with kept(root) as (address, _), Load(address, movements(8, seed=5)) as load:
        eventually(lambda: len(load.answers) > 50, 60)
        yield Running(root, load)


def ends(process: subprocess.Popen[str], timeout_s: float = 900) -> str:
    said, _ = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, said
    return said


def share_is(running: Running, test: Callable[[float], bool]) -> Callable[[], bool]:
    return lambda: test(running.place.now().share)


@pytest.mark.parametrize(
    ("version", "words", "meets"),
    [
        (ERRORS, "failed|5xx", True),
        (SLOW, "longer than|fallback", True),
        (SINGLE, "answer|activity|worse", True),
        (CRASHES, "before it was ready", False),
        (LEAKS, "MB, ", True),
        (UNIT, "units|before it was ready|was not ready", False),
    ],
    ids=["errors", "slow", "single class", "crashes at start", "leaks", "wrong unit"],
)
def test_a_bad_version_is_rolled_back_by_itself(service: Running, version: int, words: str, meets: bool) -> None:
    import re

    service.promote(version)
    began = time.monotonic()
    said = ends(releasing(service.root, version))
    took = time.monotonic() - began
    assert said.splitlines()[-1].startswith("rolled back:"), said
    assert re.search(words, said.splitlines()[-1]), said
    state = service.releases.state()
    assert state is not None
    assert (state.outcome, state.version) == ("rolled back", version)
    # Written just after the place was told: the figures below are upper bounds.
    zero = time.monotonic() - (time.time() - (state.ended or 0))
    time.sleep(1)
    answers = service.load.since(began)
    failed = [answer for answer in answers if answer.status != 200]
    after = [answer for answer in failed if answer.began > zero]
    first = min((answer.ended for answer in failed), default=None)
    service.say(
        version=version,
        seconds=took,
        requests=len(answers),
        failed=len(failed),
        failed_after_weight_0=len(after),
        first_failure_to_weight_0_s=zero - first if first else None,
        reason=state.reason[:200],
    )
    assert after == []
    assert first is None or zero - first < 5
    assert service.load.versions(zero + 0.5) == {STABLE}
    assert service.champion() == STABLE
    log = open_project(service.root).registry
    assert log.verify()
    assert version != ERRORS or failed, "the fault met nobody"


def test_a_person_aborts_within_a_second_whatever_the_controller_does(service: Running) -> None:
    service.promote(GOOD)
    for stopped in (False, True):
        process = releasing(service.root, GOOD)
        eventually(share_is(service, lambda share: share > 0), 240)
        if stopped:
            process.send_signal(signal.SIGSTOP)
        command = [sys.executable, "-m", "har_cli", "release", "abort", "--reason", "complaints"]
        began = time.monotonic()
        abort = subprocess.Popen(command, cwd=ROOT, env=environment(service.root), stdout=subprocess.PIPE, text=True)
        eventually(share_is(service, lambda share: share == 0), 60)
        zero = time.monotonic()
        if stopped:
            process.send_signal(signal.SIGCONT)
        assert "Version 1 serves everybody" in abort.communicate(timeout=60)[0]
        assert "aborted" in ends(process)
        assert service.place.now().share == 0
        service.say(stopped=stopped, command_to_weight_0_s=zero - began)
        assert zero - began < 5  # a second on a quiet machine, Python's start included
        assert service.champion() == STABLE
        service.promote(GOOD)
    assert service.load.failed == [] or max(answer.ended for answer in service.load.failed) < began


def test_a_killed_controller_leaves_the_former_version_and_the_next_run_goes_on(service: Running) -> None:
    service.promote(GOOD)
    process = releasing(service.root, GOOD)
    eventually(share_is(service, lambda share: share > 0), 240)
    began = time.monotonic()
    process.kill()
    process.communicate()
    eventually(share_is(service, lambda share: share == 0), 60)
    expired = time.monotonic() - began
    time.sleep(1.5)
    assert service.load.versions(time.monotonic() - 1) == {STABLE}
    assert not service.releases.is_watched()
    status = subprocess.run(
        [sys.executable, "-m", "har_cli", "release", "status"],
        cwd=ROOT,
        env=environment(service.root),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Nobody watches this release" in status.stdout
    said = ends(releasing(service.root, GOOD))
    assert "taken up" in said
    assert said.splitlines()[-1].startswith("promoted:"), said
    failed = [answer for answer in service.load.since(began) if answer.status != 200]
    service.say(lease_ran_out_s=expired, requests=len(service.load.since(began)), failed=len(failed))
    assert failed == []
    assert service.load.versions(time.monotonic() - 0.5) == {GOOD}
    assert service.champion() == GOOD


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed")
def test_a_killed_prometheus_holds_the_release_and_loses_no_request(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way back to version 1, as a release with all steps."""
    port = free_port()
    monkeypatch.setenv("HAR_RELEASE__PROMETHEUS", f"http://127.0.0.1:{port}")
    began = time.monotonic()
    with prometheus(service.root, port):
        process = releasing(service.root, STABLE)
        eventually(share_is(service, lambda share: share > 0), 240)
    held = eventually(lambda: _missing(service, "Prometheus did not answer"), 60)
    time.sleep(3)
    assert service.place.now().share > 0
    with prometheus(service.root, port):
        said = ends(process)
    assert said.splitlines()[-1].startswith("promoted:"), said
    failed = [answer for answer in service.load.since(began) if answer.status != 200]
    service.say(held=held, requests=len(service.load.since(began)), failed=len(failed))
    assert failed == []


def _missing(running: Running, words: str) -> str:
    state = running.releases.state()
    return next((one for one in (state.missing if state else ()) if words in one), "")
