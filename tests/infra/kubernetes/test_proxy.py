"""HAProxy as it runs in the cluster: the real program, the rule from the API, and two versions behind it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from cluster_support import FakeCluster, connected, kubeconfig, served

from har.release import is_served_by_canary
from har.settings import Settings
from infra.kubernetes.cluster import Cluster
from infra.kubernetes.place import KubernetesServing
from infra.kubernetes.proxy import Follower, follow, options, prepare
from infra.local.third_party import installed
from infra.serving.proxy import configuration

pytestmark = pytest.mark.stack

HAPROXY = installed("haproxy") or ""
NEW = "har-mlops-online:v2-bbbbbbbb"
SUBJECTS = [f"S{number}" for number in range(60)]


class Version(BaseHTTPRequestHandler):
    """A replica that answers with its version's name."""

    name = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say(self.name)

    def do_GET(self) -> None:
        self._say("ready")

    def _say(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def version(name: str) -> Iterator[str]:
    handler = type("Named", (Version,), {"name": name})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([HAPROXY, "-W", "-db", "-f", "haproxy.cfg"], cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def following(cluster: Cluster, folder: Path) -> Iterator[None]:
    stopping = threading.Event()
    seen = folder / "seen"
    thread = threading.Thread(target=follow, args=(Follower(cluster, folder), stopping, seen))
    thread.start()
    try:
        until(seen.exists, "the rule was applied")
        yield
    finally:
        stopping.set()
        thread.join()


def until(happened: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        return [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


@pytest.mark.skipif(not HAPROXY, reason="HAProxy is not installed")
def test_a_release_by_subject_and_its_lease(rendered: dict[str, str], settings: Settings, tmp_path: Path) -> None:
    fake = FakeCluster(rendered["haproxy"])
    port, figures = free_ports(2)
    with ExitStack() as stack:
        cluster = stack.enter_context(connected(stack.enter_context(served(fake))))
        boxes = {colour: [stack.enter_context(version(colour))] for colour in ("blue", "green")}
        bind = {"bind": f"127.0.0.1:{port}", "figures": f"127.0.0.1:{figures}"}
        unlimited = settings.model_copy(
            update={"serving": settings.serving.model_copy(update={"requests_per_minute": 0})}
        )  # `until` asks for all subjects again and again
        prepare(cluster, tmp_path, options(unlimited, tmp_path, boxes, **bind))
        stack.enter_context(running(tmp_path))
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False))
        until(lambda: is_up(figures), "the proxy runs")
        followers = stack.enter_context(ExitStack())
        followers.enter_context(following(cluster, tmp_path))
        place = KubernetesServing(cluster)
        assert place.is_by_subject

        def served_by(subject: str) -> str:
            return client.post("/predict/raw", content=b"x", headers={"X-Subject": subject}).raise_for_status().text

        until(lambda: served_by("S1") == "blue", "blue serves")
        assert {served_by(subject) for subject in SUBJECTS} == {"blue"}
        place.start(NEW, salt="r1")
        place.share(0.5, lease_s=60)
        expected = {s: "green" if is_served_by_canary(s, "r1", 0.5) else "blue" for s in SUBJECTS}
        until(lambda: served_by(chosen(expected, "green")) == "green", "the canary serves")
        for _ in range(2):
            assert {subject: served_by(subject) for subject in SUBJECTS} == expected, "as har itself computes it"
        assert place.now().share == 0.5
        assert httpx.get(f"http://127.0.0.1:{figures}/metrics", trust_env=False).text.startswith("# HELP haproxy_")

        # Nobody is left who could renew the lease or take the canary back: the proxy does.
        place.share(0.5, lease_s=2.0)
        time.sleep(0.5)
        followers.close()
        until(lambda: {served_by(subject) for subject in SUBJECTS} == {"blue"}, "the lease ran out")

        followers.enter_context(following(cluster, tmp_path))
        place.share(1.0, lease_s=60)
        until(lambda: served_by("S1") == "green", "the canary serves all")
        place.promote()
        assert fake.things["configmaps", "split"]["metadata"]["annotations"]["har.release/stable"] == "green"
        assert {served_by(subject) for subject in SUBJECTS} == {"green"}
        place.withdraw()
        until(lambda: served_by("S1") == "blue", "the former version serves again")


def chosen(expected: dict[str, str], colour: str) -> str:
    return next(subject for subject, found in expected.items() if found == colour)


def is_up(figures: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{figures}/healthz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.skipif(not HAPROXY, reason="HAProxy is not installed")
def test_haproxy_takes_the_configuration_of_the_cluster(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "certificate.pem").write_text(certificate())
    boxes = {colour: [f"online-{colour}.x.svc.cluster.local:3000"] for colour in ("blue", "green")}
    fake = FakeCluster("")
    fake.things["configmaps", "split"] = {"kind": "ConfigMap", "metadata": {"name": "split", "resourceVersion": "1"}}
    with served(fake) as address, connected(address) as cluster:
        made = options(settings, tmp_path, boxes)
        prepare(cluster, tmp_path, made)
    assert "ssl crt" in configuration(made)
    assert (tmp_path / "split.map").read_text().startswith("split 0|0|-|blue|-|-")
    done = subprocess.run([HAPROXY, "-c", "-f", "haproxy.cfg"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def certificate() -> str:
    """A self-signed one, with its key."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=har.example.org"]
    done = subprocess.run([*command, "-keyout", "-", "-out", "-"], capture_output=True, text=True, check=True)
    return done.stdout


def test_the_keeper_withdraws_a_canary_that_nobody_watches(
    fake: FakeCluster, address: str, cluster: Cluster, tmp_path: Path
) -> None:
    place = KubernetesServing(cluster)
    place.start(NEW, salt="r1")
    place.share(0.5, lease_s=60)
    variables = {**os.environ, "KUBECONFIG": str(kubeconfig(tmp_path / "config", address)), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "infra.kubernetes.keeper"]
    keeper = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        until(lambda: ("GET", "httproutes/online", "") in fake.calls[-4:], "it looks", within_s=60)
        assert fake.weights == {"blue": 5000, "green": 5000}
        place.share(0.5, lease_s=0.5)
        until(lambda: fake.weights == {"blue": 10_000, "green": 0}, "the weight is taken away")
    finally:
        keeper.terminate()
        said, _ = keeper.communicate(timeout=20)
    assert (keeper.returncode, said) == (0, "The lease ran out: the stable version serves everybody.\n")
