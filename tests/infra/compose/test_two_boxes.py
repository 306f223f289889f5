"""The online service of a stack in two boxes: releases without a lost request, by a real engine and the real proxy.

The boxes have no model in them, so that this takes minutes: `test_full_act` has the real ones.
"""

from __future__ import annotations

import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from containers_support import PROJECT, STANDINS, Trial, engine_or_skip, trial_of

from har.errors import ReleaseError
from har.release import is_served_by_canary
from infra.compose.engine import output
from infra.compose.serving import StackServing

pytestmark = [pytest.mark.release, pytest.mark.timeout(1800)]

KNOWN = r"class Serving:\n    mirror: str\n    shadow: str\n    shadow_share: float\n"
IMAGE = "localhost/har-trial-online"


def tag(version: str) -> str:
    return f"{IMAGE}:{version}"


@pytest.fixture(scope="module")
def boxes() -> Iterator[Trial]:
    """A stack of the profile online, with TLS, that serves version v1."""
    engine = engine_or_skip()

    def build(target: str, name: str, *options: str) -> None:
        files = ["-f", str(STANDINS / "Boxes"), "--target", target, "-t", name]
        context = str(PROJECT / "infra/compose") if target == "prepare" else str(STANDINS)
        done = subprocess.run([engine.name, "build", *files, *options, context], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no base image is reached: {done.stderr[-300:]}")

    build("prepare", "localhost/har-trial-prepare:dev")
    # The first version is of a release that knew no settings of a canary.
    for version, settings in (("v1", ""), ("v2", KNOWN), ("v3", KNOWN), ("sick", KNOWN)):
        build("online", tag(version), "--build-arg", f"VERSION={version}", "--build-arg", f"SETTINGS={settings}")
    with trial_of(engine, ["haproxy"], STACK_TRAIN_IMAGE="localhost/har-trial-prepare:dev", STACK_TLS="1") as made:
        (made.root / ".stack").mkdir(mode=0o700)
        (made.root / ".stack/images.env").write_text(f"STACK_ONLINE_IMAGE={tag('v1')}\n")
        made.must("up", "--profile", "online")
        yield made


class Load:
    """Asks as fast as answers come, on new and on kept connections, and counts what comes."""

    def __init__(self, boxes: Trial) -> None:
        self.answers: Counter[tuple[int, str]] = Counter()
        self.failed: list[str] = []
        self._address = StackServing(boxes.stack).address
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(4)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        with httpx.Client(timeout=20) as kept:
            while not self._ending.is_set():
                try:
                    headers = {"X-Subject": f"s{number}"}
                    ask = kept.get if number % 2 else httpx.get
                    answer = ask(f"{self._address}/model", headers=headers)
                    self.answers[answer.status_code, answer.json().get("version", "?")] += 1
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                time.sleep(0.01)


def versions(boxes: Trial, count: int = 40) -> dict[str, str]:
    """The version that each subject meets."""
    address = StackServing(boxes.stack).address
    with httpx.Client(base_url=address, timeout=20) as client:
        asked = {f"S{number}": {"X-Subject": f"S{number}"} for number in range(count)}
        return {name: client.post("/predict", headers=one, json={}).json()["version"] for name, one in asked.items()}


def running(boxes: Trial) -> list[str]:
    return [part.service for part in boxes.stack.parts() if part.state == "running"]


def test_the_first_version_serves_and_only_what_must_be_open_is(boxes: Trial) -> None:
    serving = StackServing(boxes.stack)
    assert serving.now().stable == tag("v1")
    assert set(versions(boxes).values()) == {"v1"}
    assert running(boxes) == ["online-blue", "haproxy"]
    assert httpx.get(f"{serving.address}/metrics").status_code == 404
    assert httpx.post(f"{serving.address}/predict", content=bytes(99_000_000)).status_code == 413
    answer = httpx.get(f"{serving.address}/model", headers={"X-Forwarded-For": "127.0.0.1"})
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers
    assert answer.json()["headers"]["x-forwarded-for"] != "127.0.0.1"
    # The box of an earlier release is told nothing that it does not know.
    assert set(answer.json()["told"]) == {"HAR_SERVING__HOSTS", "HAR_PATHS__FEEDBACK_TOKEN"}
    token = (boxes.root / ".stack/logins/feedback_token").read_text()
    box = boxes.stack.require("online-blue")
    assert output([boxes.stack.engine.name, "exec", box, "cat", "/home/bentoml/data/feedback-token"]) == (0, token)


def test_from_elsewhere_it_speaks_tls(boxes: Trial) -> None:
    trusted = ssl.create_default_context(cafile=str(boxes.root / ".stack/authority/ca.pem"))
    address = f"https://127.0.0.1:{boxes.variables['STACK_TLS_PORT']}"
    assert httpx.get(f"{address}/model", verify=trusted).json()["version"] == "v1"
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{address}/model")


def test_a_release_by_one_command_loses_no_request(boxes: Trial) -> None:
    with Load(boxes) as load:
        said = boxes.must("release", "online", tag("v2"))
        time.sleep(1)
    assert f"{tag('v2')} serves" in said
    assert load.failed == []
    assert {status for status, _ in load.answers} == {200}
    assert set(versions(boxes).values()) == {"v2"}
    assert boxes.stack.state.images["online"] == tag("v2")
    boxes.wait_until(lambda: running(boxes) == ["online-green", "haproxy"], "the former box ended", 60)


def test_an_image_that_does_not_work_is_refused_and_nobody_notices(boxes: Trial) -> None:
    serving = StackServing(boxes.stack)
    before = serving.place.wanted()
    with Load(boxes) as load, pytest.raises(ReleaseError, match="an image that"):
        serving.start(tag("v99"), salt="r0")
    assert load.failed == []
    assert (serving.now().stable, serving.now().canary) == (before.stable, "")


def test_a_canary_serves_its_subjects_until_nobody_watches(boxes: Trial) -> None:
    serving = StackServing(boxes.stack)
    before = serving.place.wanted()
    old = before.stable.rpartition(":")[2]
    with Load(boxes) as load:
        serving.start(tag("v3"), salt="r1")
        assert set(versions(boxes).values()) == {old}
        serving.share(0.3, lease_s=60)
        met = versions(boxes)
        assert met == {name: "v3" if is_served_by_canary(name, "r1", 0.3) else old for name in met}
        assert set(met.values()) == {old, "v3"}
        (canary,) = serving.addresses()["canary"]
        told = httpx.get(f"{canary}/model").json()["told"]
        assert told["HAR_SERVING__SHADOW"] == "previous"
        assert told["HAR_SERVING__MIRROR"] == "/srv/mirror/mirror.json"
        assert serving.counts()["canary"].requests > 0
        serving.share(0.3, mirror=0.5, lease_s=3)
        box = boxes.stack.require(f"online-{before.backend}")
        mirror = output([boxes.stack.engine.name, "exec", box, "cat", "/srv/mirror/mirror.json"])
        assert f'"http://online-{before.beside}:3000"' in mirror[1]
        time.sleep(3.2)
        assert set(versions(boxes).values()) == {old}
        serving.share(1.0, lease_s=60)
        assert set(versions(boxes).values()) == {"v3"}
        began = time.monotonic()
        serving.withdraw()
        took = time.monotonic() - began
        assert set(versions(boxes).values()) == {old}
    assert took < 20  # mostly of the engine, on a busy machine: the rule holds before
    assert load.failed == []
    assert {status for status, _ in load.answers} == {200}
    boxes.wait_until(lambda: running(boxes) == [f"online-{before.backend}", "haproxy"], "the canary's box ended", 60)


def test_a_promotion_keeps_the_former_version_ready(boxes: Trial) -> None:
    serving = StackServing(boxes.stack)
    before = serving.place.wanted()
    old = before.stable.rpartition(":")[2]
    with Load(boxes) as load:
        serving.start(tag("v3"), salt="r2")
        serving.promote()
        assert set(versions(boxes).values()) == {"v3"}
        assert boxes.stack.state.images["online"] == tag("v3")
        assert running(boxes) == ["online-blue", "online-green", "haproxy"]
        serving.withdraw()
        assert set(versions(boxes).values()) == {old}
        assert boxes.stack.state.images["online"] == before.stable
    assert load.failed == []
    assert {status for status, _ in load.answers} == {200}


def test_the_proxy_and_the_whole_stack_start_again_as_they_were(boxes: Trial) -> None:
    serving = StackServing(boxes.stack)
    before = serving.place.wanted()
    old = before.stable.rpartition(":")[2]
    boxes.wait_until(lambda: running(boxes) == [f"online-{before.backend}", "haproxy"], "the former box ended", 60)
    boxes.must("down")
    boxes.must("up", "--profile", "online")
    assert set(versions(boxes).values()) == {old}
    assert running(boxes) == [f"online-{before.backend}", "haproxy"]


def test_a_version_that_is_never_ready_leaves_the_former_one(boxes: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.compose.serving._READY_S", 5.0)
    serving = StackServing(boxes.stack)
    before = serving.place.wanted()
    with Load(boxes) as load, pytest.raises(ReleaseError, match="is not healthy"):
        serving.start(tag("sick"), salt="r3")
    assert load.failed == []
    assert {status for status, _ in load.answers} == {200}
    assert (serving.now().stable, serving.now().canary) == (before.stable, "")
