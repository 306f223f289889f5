"""The pods of a colour: which are ready, which cannot start, and what they have counted."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from har.release import Counts
from infra.kubernetes.cluster import Cluster, Thing
from infra.kubernetes.route import NAME, PORT, Colour

_ANSWER_S = 0.8
_AT_ONCE = 16
_HOPELESS = (
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
)
"""Why a container waits that will not start by waiting."""
_MOST_RESTARTS = 2
"""A container that ended this often before its pod was ready does not start."""


def pods_of(cluster: Cluster, colour: Colour) -> list[Thing]:
    """The pods of a colour that are not ending."""
    found = cluster.list_pods({"app.kubernetes.io/name": NAME, "har.release/colour": colour})
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


def is_ready(pod: Thing) -> bool:
    """Whether the pod takes requests."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def image_of(pod: Thing) -> str:
    """The image of the service in a pod."""
    return str(_service(pod["spec"]["containers"]).get("image", ""))


def trouble(pods: Iterable[Thing], image: str) -> str:
    """Why a pod of this image will not become ready by waiting; "": nothing is known."""
    for pod in pods:
        if image_of(pod) != image or is_ready(pod):
            continue
        status = _service(pod.get("status", {}).get("containerStatuses", []))
        waiting = status.get("state", {}).get("waiting") or {}
        ended = (status.get("lastState", {}).get("terminated") or {}).get("exitCode")
        if waiting.get("reason") in _HOPELESS or status.get("restartCount", 0) >= _MOST_RESTARTS:
            parts = [waiting.get("reason") or f"restarted {status['restartCount']} times", waiting.get("message", "")]
            parts += [f"it ended with {ended}"] if ended is not None else []
            return f"pod {pod['metadata']['name']}: {': '.join(part for part in parts if part)}"
    return ""


def address_of(pod: Thing) -> str:
    """Where a pod answers, `http://host:port`; "" before it has an address."""
    host = pod.get("status", {}).get("podIP", "")
    ports = _service(pod["spec"]["containers"]).get("ports") or [{}]
    port = next((one["containerPort"] for one in ports if one.get("name") == "http"), PORT)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}" if host else ""


class Figures:
    """What the pods of a colour have done, added up over pods that are gone: it never falls while this object lives."""

    def __init__(self) -> None:
        self._known: dict[str, Counts] = {}

    def of(self, pods: Iterable[Thing]) -> Counts:
        """Read each pod's metrics, and add.

        A pod that does not answer keeps what it counted last. What was never answered at all is not in it: no gateway's
        figures are read, but a process that ended shows in `starts`.
        """
        own = list(pods)
        with ThreadPoolExecutor(_AT_ONCE) as readers:
            texts = list(readers.map(_metrics, map(address_of, own)))
        in_flight = 0
        for pod, text in zip(own, texts, strict=True):
            uid = pod["metadata"]["uid"]
            before = self._known.get(uid, Counts())
            starts = 1 + _service(pod.get("status", {}).get("containerStatuses", [])).get("restartCount", 0)
            now = counts(text) if text else before
            # A container that was started again counts from 0.
            risen = {name: max(getattr(now, name), getattr(before, name)) for name in ("requests", "failed", "refused")}
            self._known[uid] = Counts(**risen, starts=starts, memory_mb=now.memory_mb)
            in_flight += now.in_flight if text else 0
        every = self._known.values()
        alive = [self._known[pod["metadata"]["uid"]] for pod in own]
        return Counts(
            requests=sum(one.requests for one in every),
            failed=sum(one.failed for one in every),
            refused=sum(one.refused for one in every),
            starts=sum(one.starts for one in every),
            memory_mb=max((one.memory_mb for one in alive), default=0.0),
            in_flight=in_flight,
        )


def counts(text: str) -> Counts:
    """What one pod's `/metrics` says; probes are no requests."""
    from prometheus_client.parser import text_string_to_metric_families

    requests = failed = refused = 0
    others: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "har_requests_total":
                status, count = sample.labels["status"], int(sample.value)
                requests += count
                failed += count if status.startswith("5") else 0
                refused += count if status in ("429", "503") else 0
            elif sample.name in ("har_memory_bytes", "har_in_flight"):
                others[sample.name] = others.get(sample.name, 0.0) + sample.value
    return Counts(
        requests=requests,
        failed=failed,
        refused=refused,
        memory_mb=round(others.get("har_memory_bytes", 0.0) / 1e6, 1),
        in_flight=int(others.get("har_in_flight", 0)),
    )


def _metrics(address: str) -> str:
    if not address:
        return ""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address}/metrics", timeout=_ANSWER_S) as answer:
            return bytes(answer.read()).decode("utf-8", "replace")
    except OSError:  # it is starting, ending or stuck; its probes and restarts show which
        return ""


def _service(containers: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((one for one in containers if one.get("name") == NAME), {})
