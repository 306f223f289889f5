"""A Kubernetes API in this process: the project's rendered manifests in it, real patches, pods that come and go.

It answers the official client over HTTP. What the API server does is here as it does it: merge patches, merging by
name for Kubernetes' own kinds, versions of objects and 409, 404 for kinds that are not installed. What controllers do
is a rule: a Deployment's pods become ready at once, unless the test has said otherwise of its image.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from kubernetes import client

from infra.kubernetes.cluster import Cluster

Thing = dict[str, Any]
NAMESPACE = "har-mlops-staging"
_PLURALS = {
    "Deployment": "deployments",
    "HTTPRoute": "httproutes",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "ScaledObject": "scaledobjects",
    "Service": "services",
    "ConfigMap": "configmaps",
}


class FakeCluster:
    """The objects of a namespace, and what the API was asked for.

    Attributes:
        things: by plural and name.
        calls: method, plural/name, and what kind of patch.
        troubles: by image: "pull", "crash" or "slow", of pods that do not become ready.
        refused: plurals that the account may not touch.
        ports: of the metrics of pods, by image; the pods are on this machine.
    """

    def __init__(self, manifests: str) -> None:
        self.things: dict[tuple[str, str], Thing] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.troubles: dict[str, str] = {}
        self.refused: set[str] = set()
        self.ports: dict[str, int] = {}
        self.before_patch: list[Any] = []
        self.pods: dict[str, Thing] = {}
        self._version = 100
        self._pod_numbers = 0
        self._lock = threading.RLock()
        for thing in filter(None, yaml.load_all(manifests, Loader=yaml.CSafeLoader)):
            plural = _PLURALS.get(thing["kind"])
            if plural:
                self.things[plural, thing["metadata"]["name"]] = thing
                thing["metadata"] |= {"resourceVersion": "1", "generation": 1}
                if plural == "deployments":
                    thing["spec"].setdefault("replicas", 1)
                    self._control(thing)

    @property
    def route(self) -> Thing:
        return self.things["httproutes", "online"]

    @property
    def weights(self) -> dict[str, int]:
        return {
            ref["name"].removeprefix("online-"): ref["weight"] for ref in self.route["spec"]["rules"][0]["backendRefs"]
        }

    @property
    def notes(self) -> dict[str, str]:
        found = self.route["metadata"]["annotations"].items()
        return {key.removeprefix("har.release/"): value for key, value in found if key.startswith("har.release/")}

    def deployment(self, colour: str) -> Thing:
        return self.things["deployments", f"online-{colour}"]

    def pods_of(self, colour: str) -> list[Thing]:
        return [pod for pod in self.pods.values() if pod["metadata"]["labels"].get("har.release/colour") == colour]

    def edit(self, plural: str, name: str, change: Thing) -> None:
        """As somebody else changes an object."""
        with self._lock:
            self._apply(self.things[plural, name], change, strategic=False)

    def answer(self, method: str, path: str, body: Thing | None, kind: str) -> tuple[int, Any]:
        parts = urlsplit(path)
        words = parts.path.strip("/").split("/")
        at = words.index("namespaces")
        plural, name = words[at + 2], "/".join(words[at + 3 :])
        query = parse_qs(parts.query)
        with self._lock:
            self.calls.append((method, f"{plural}/{name}".rstrip("/"), kind))
            if plural in self.refused:
                return 403, {"message": f"{plural} is forbidden: User cannot {method} resource"}
            if words[at + 1] != NAMESPACE:
                return 404, {"message": "no such namespace"}
            if method == "GET" and plural == "pods":
                wanted = dict(one.split("=") for one in query["labelSelector"][0].split(","))
                items = [pod for pod in self.pods.values() if wanted.items() <= pod["metadata"]["labels"].items()]
                return 200, {"items": copy.deepcopy(items)}
            thing = self.things.get((plural, name))
            if thing is None:
                return 404, {"message": f'{plural} "{name}" not found'}
            if method == "GET":
                return 200, copy.deepcopy(thing)
            assert body is not None
            assert query["fieldManager"] == ["har-release"]
            if self.before_patch:
                self.before_patch.pop(0)()
            wanted_version = body.get("metadata", {}).get("resourceVersion")
            if wanted_version and wanted_version != thing["metadata"]["resourceVersion"]:
                return 409, {"message": "the object has been modified; please apply your changes to the latest version"}
            self._apply(thing, body, strategic="strategic" in kind)
            return 200, copy.deepcopy(thing)

    def _apply(self, thing: Thing, change: Thing, *, strategic: bool) -> None:
        before = copy.deepcopy(thing.get("spec"))
        merged = merged_patch(thing, change, strategic=strategic)
        thing.clear()
        thing.update(merged)
        self._version += 1
        thing["metadata"]["resourceVersion"] = str(self._version)
        if thing.get("spec") != before:
            thing["metadata"]["generation"] += 1
        if thing["kind"] == "Deployment":
            self._control(thing)

    def _control(self, thing: Thing) -> None:
        """What Kubernetes' controllers do, at once: as many pods as wanted, of the newest template."""
        spec, name = thing["spec"], thing["metadata"]["name"]
        for pod in [one for one in self.pods.values() if one["owner"] == name]:
            del self.pods[pod["metadata"]["name"]]
        image = spec["template"]["spec"]["containers"][0]["image"]
        trouble = self.troubles.get(image, "")
        for _ in range(spec["replicas"]):
            pod = self._pod(thing, image, trouble)
            self.pods[pod["metadata"]["name"]] = pod
        ready = 0 if trouble else spec["replicas"]
        thing["status"] = {
            "observedGeneration": thing["metadata"]["generation"],
            "replicas": spec["replicas"],
            "updatedReplicas": spec["replicas"],
            "availableReplicas": ready,
            "readyReplicas": ready,
        }

    def _pod(self, thing: Thing, image: str, trouble: str) -> Thing:
        self._pod_numbers += 1
        name = f"{thing['metadata']['name']}-{self._pod_numbers}"
        spec = copy.deepcopy(thing["spec"]["template"]["spec"])
        service = spec["containers"][0]
        if image in self.ports:
            service["ports"] = [{"name": "http", "containerPort": self.ports[image]}]
        status: Thing = {"name": service["name"], "restartCount": 0, "state": {"running": {}}, "lastState": {}}
        if trouble == "pull":
            status["state"] = {
                "waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}
            }
        elif trouble == "crash":
            status |= {"restartCount": 1, "lastState": {"terminated": {"exitCode": 1}}}
            status["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}}
        ready = "False" if trouble else "True"
        return {
            "owner": thing["metadata"]["name"],
            "metadata": {"name": name, "uid": name, "labels": thing["spec"]["template"]["metadata"]["labels"]},
            "spec": spec,
            "status": {
                "podIP": "127.0.0.1",
                "conditions": [{"type": "Ready", "status": ready}],
                "containerStatuses": [status],
            },
        }


def merged_patch(target: Any, change: Any, *, strategic: bool) -> Any:
    """A JSON merge patch (RFC 7396); strategic: lists of named things are merged by name."""
    if (
        strategic
        and isinstance(change, list)
        and change
        and all(isinstance(one, dict) and "name" in one for one in change)
    ):
        named = {one["name"]: one for one in target or []}
        for one in change:
            if one.get("$patch") == "delete":
                named.pop(one["name"], None)
            else:
                named[one["name"]] = merged_patch(named.get(one["name"], {}), one, strategic=True)
        return list(named.values())
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged_patch(result.get(key), value, strategic=strategic)
    return result


@contextmanager
def served(fake: FakeCluster) -> Iterator[str]:
    """Serve the API; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536  # headers and body in one packet

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, found = fake.answer(self.command, self.path, body, self.headers.get("Content-Type") or "")
            text = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PATCH = _do  # noqa: N815  the names that the base class calls

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """The official client at an address."""
    configuration = client.Configuration()
    configuration.host = address
    api = client.ApiClient(configuration)
    try:
        yield Cluster(api, NAMESPACE)
    finally:
        api.rest_client.pool_manager.clear()


@contextmanager
def metrics(texts: dict[str, str]) -> Iterator[dict[str, int]]:
    """Serve `/metrics` of pods, by image; yields the ports."""
    servers = []
    try:
        ports = {}
        for image in texts:

            class Handler(BaseHTTPRequestHandler):
                of = image

                def do_GET(self) -> None:
                    text = texts[self.of].encode()
                    self.send_response(200 if self.path == "/metrics" else 404)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

                def log_message(self, *_arguments: Any) -> None:
                    """Say nothing."""

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            servers.append((server, thread))
            ports[image] = server.server_port
        yield ports
    finally:
        for server, thread in servers:
            server.shutdown()
            thread.join()
            server.server_close()


def kubeconfig(path: Path, address: str, namespace: str = NAMESPACE) -> Path:
    """A file of kubectl with one context."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": address}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": namespace}}],
        "current-context": "here",
    }
    path.write_text(yaml.safe_dump(content))
    return path
