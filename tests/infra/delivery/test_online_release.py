"""Releases to a running service for real: bentos, processes, a client that asks all the time and never fails."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from release_support import ROOT, Client, environment, site
from serving_support import (
    eventually,
    make_rule,
    movements,
    read_journal,
    set_traps,
    train_model,
    write_settings,
)
from tests_support import copy_code

from har.inference import Classifier, Package
from infra.bentoml.bentos import ProjectBentos
from infra.delivery.online.smoke import known_windows

pytestmark = [pytest.mark.release, pytest.mark.timeout(900)]

NAME = "test-project"
FILES = ("bentofile.yaml", "bentos/batch/bentofile.yaml")
KEYS = {name: f"v{number}-{number:08x}" for number, name in enumerate(("stable", "good", "broken", "slow", "lying"), 1)}


def slow_on_some(model: Path, target: Path) -> Path:
    """A model that answers the smoke test in time, and is late for some windows afterwards.

    A request of several windows is judged by its first value, so only single windows with a larger one are late.
    """
    windows = known_windows(Classifier(model, threads=1).metadata)
    first = windows[:, 0, 0]
    limit = float(np.sort(first)[-3])  # three of eight
    assert first[0] < limit
    trapped = onnx.load(set_traps(model, target))
    values = {"trap.50": limit - 1e-6, "trap.100": 1e9, "trap.150": 2e9}
    for tensor in trapped.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(np.array(values[tensor.name], np.float32), tensor.name))
        if tensor.name == "trap.many":
            tensor.CopyFrom(numpy_helper.from_array(np.array(300_000, np.int64), tensor.name))
    onnx.save(trapped, target)
    return target


@dataclass(frozen=True)
class Built:
    """Bentos in a store, and the model file of each by its name."""

    root: Path
    store: Path
    models: dict[str, Path]

    def candidate(self, name: str) -> None:
        """What `make candidate` would have left for this one."""
        number = int(KEYS[name][1])
        content = {
            "version": number,
            "online": f"{NAME}-online:{KEYS[name]}",
            "batch": f"{NAME}-batch:{KEYS[name]}",
            "model": str(self.models[name]),
            "store": str(self.store),
        }
        path = self.root / "build" / "delivery" / "candidate.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A project with five packaged versions, of which two are good, in a store that nothing is served from."""
    root = tmp_path_factory.mktemp("release") / "project"
    write_settings(root)
    copy_code(root)
    folder = tmp_path_factory.mktemp("models")
    models = {name: train_model(folder / f"{name}.onnx", seed=seed) for seed, name in ((1, "stable"), (2, "good"))}
    models |= {
        "broken": models["good"],
        "lying": models["good"],
        "slow": slow_on_some(models["good"], folder / "slow.onnx"),
    }
    store = root / "build" / "delivery" / "bentoml"
    bentos = ProjectBentos(root, store)
    for name, key in KEYS.items():
        # The lying one is packaged as a version that it is not.
        number = 99 if name == "lying" else int(key[1])
        package = Package.write(
            folder / name / "package", model=models[name], version=number, previous=None, shadow=None, rule=make_rule()
        )
        with bentos.lock():
            bentos.build(NAME, key, package.model.parent, FILES)
    broken = store / "models" / NAME / KEYS["broken"] / "model.onnx"
    broken.write_bytes(broken.read_bytes()[:-100])
    return Built(root, store, models)


def run_release(root: Path, address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    quick = ["--requests", "80", "--watch", "2"]
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "infra.delivery.online.release",
            "--address",
            address,
            "--why",
            "a trial",
            *quick,
            *arguments,
        ],
        cwd=ROOT,
        env=environment(root),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def history(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / ".bentoml" / "releases.jsonl").read_text().splitlines()]


def test_good_versions_serve_bad_ones_do_not_and_no_request_fails(built: Built) -> None:
    root = built.root
    began = time.monotonic()
    took: dict[str, float] = {}

    def step(name: str, make: Callable[[], subprocess.CompletedProcess[str]], status: int) -> str:
        started = time.monotonic()
        done = make()
        took[name] = round(time.monotonic() - started, 1)
        assert done.returncode == status, f"{name}: {done.stdout}{done.stderr}\n{(root / 'site.log').read_text()}"
        return done.stdout + done.stderr

    with site(root) as address:
        built.candidate("stable")
        step("first", lambda: run_release(root, address), 0)
        eventually(lambda: httpx.get(f"{address}/readyz", trust_env=False).status_code == 200)
        with Client(address, movements(1, seed=5)) as client:
            for name, words in (
                ("broken", "the content that was packaged"),
                ("slow", "its fallback answered"),
                ("lying", "/model, version: expected 5, but got 99"),
            ):
                built.candidate(name)
                said = step(name, lambda: run_release(root, address), 1)
                assert words in said, said
                assert client.versions() == {1}
            built.candidate("good")
            step("good", lambda: run_release(root, address, "--to", "2"), 0)
            eventually(lambda: client.answers[-1][1] == 2)
            asked = time.monotonic()
            step("back", lambda: run_release(root, address, "--back"), 0)
            eventually(lambda: client.answers[-1][1] == 1)
            last_of_2 = max(when for when, version in client.answers if version == 2)
        assert client.failures == []
        assert client.versions() == {1, 2}
        assert len(client.answers) > 300
        assert last_of_2 - asked < 60
    print(json.dumps({**took, "all": round(time.monotonic() - began, 1), "requests": len(client.answers)}))
    lines = history(root)
    assert [(line["result"], line["to"].partition(":")[2]) for line in lines] == [
        ("switching", KEYS["stable"]),
        ("promoted", KEYS["stable"]),
        ("refused", KEYS["broken"]),
        ("refused", KEYS["slow"]),
        ("refused", KEYS["lying"]),
        ("switching", KEYS["good"]),
        ("promoted", KEYS["good"]),
        ("rolled back", KEYS["stable"]),
    ]
    assert {line["who"] for line in lines} == {"ada"}
    # The client's windows were logged, the probes' were not.
    requests = [line for line in read_journal(root / "data" / "journal") if line["kind"] == "prediction"]
    assert len(requests) > 300
    assert not any(line["request_id"].startswith("probe.") for line in requests)


def test_a_version_that_is_not_the_candidate_is_not_released(built: Built) -> None:
    built.candidate("good")
    done = run_release(built.root, "http://127.0.0.1:1", "--to", "7")
    assert done.returncode == 2
    assert "expected version 7, but got version 2" in done.stderr
    (built.root / "build" / "delivery" / "candidate.json").unlink()
    done = run_release(built.root, "http://127.0.0.1:1")
    assert done.returncode == 2
    assert "expected a candidate" in done.stderr
