"""The few calls of the Kubernetes API that a release needs; the official client finds the cluster and logs in."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from har.errors import ReleaseError, reason

MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
"""Kinds of patches: lists are replaced; or, for Kubernetes' own kinds, merged by their items' names."""

FIELD_MANAGER = "har-release"
"""Owns what a release writes, so that `kubectl apply --server-side` reports a conflict and resets nothing."""

_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_CONNECT_S, _ANSWER_S = 2.0, 4.0

Resource = Literal["pods", "configmaps", "deployments", "horizontalpodautoscalers", "httproutes", "scaledobjects"]
_GROUPS: Mapping[Resource, str] = {
    "pods": "/api/v1",
    "configmaps": "/api/v1",
    "deployments": "/apis/apps/v1",
    "horizontalpodautoscalers": "/apis/autoscaling/v2",
    "httproutes": "/apis/gateway.networking.k8s.io/v1",
    "scaledobjects": "/apis/keda.sh/v1alpha1",
}

Thing = dict[str, Any]
"""An object of the API, as its JSON."""


class ConflictError(ReleaseError):
    """The object has been changed since it was read."""


class Cluster:
    """A namespace of a cluster.

    Args:
        client: of the official package: `kubernetes.client.ApiClient`.
        namespace: where the project is.
    """

    def __init__(self, client: Any, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    @classmethod
    def open(cls) -> Cluster:
        """The cluster that this process runs in, else that of the current context of kubectl, each with its namespace.

        Raises:
            ReleaseError: the package is not installed, or there is no cluster to be found.
        """
        try:
            from kubernetes import client, config
        except ImportError as error:
            raise ReleaseError(
                where="Kubernetes",
                expected="the package kubernetes",
                got="none",
                remedy="Install the extra: uv pip install -e '.[kubernetes]'.",
            ) from error
        configuration = client.Configuration()
        try:
            if _NAMESPACE.is_file():
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
                return cls(client.ApiClient(configuration), _NAMESPACE.read_text(encoding="utf-8").strip())
            file = os.environ.get("KUBECONFIG")
            config.load_kube_config(file, client_configuration=configuration)  # type: ignore[no-untyped-call]
            _, context = config.list_kube_config_contexts(file)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise ReleaseError(
                where="Kubernetes",
                expected="a cluster: run inside of one, or have a context of kubectl",
                got=str(error),
                remedy="Name the file in KUBECONFIG, and choose: kubectl config use-context NAME.",
            ) from error
        return cls(client.ApiClient(configuration), context["context"].get("namespace", "default"))

    @property
    def address(self) -> str:
        """Of the API."""
        return str(self._client.configuration.host)

    def get(self, resource: Resource, name: str) -> Thing | None:
        """An object; None if there is none of this name, or the cluster does not know the kind.

        Raises:
            ReleaseError: no answer, or not allowed.
        """
        return self._call("GET", self._path(resource, name), absent=True)

    def require(self, resource: Resource, name: str) -> Thing:
        """An object.

        Raises:
            ReleaseError: there is none, no answer, or not allowed.
        """
        found = self.get(resource, name)
        if found is None:
            raise ReleaseError(
                where=f"namespace {self.namespace}",
                expected=f"{resource} {name}",
                got="none",
                remedy="Apply the manifests first (docs/how-to/kubernetes.md), or choose another namespace.",
            )
        return found

    def list_pods(self, labels: Mapping[str, str]) -> list[Thing]:
        """The pods with these labels.

        Raises:
            ReleaseError: no answer, or not allowed.
        """
        selector = quote(",".join(f"{name}={value}" for name, value in labels.items()), safe="")
        found = self._call("GET", f"{self._path('pods')}?labelSelector={selector}")
        return list((found or {}).get("items", []))

    def patch(self, resource: Resource, name: str, change: Thing, *, kind: str = MERGE) -> Thing:
        """Change an object; with `metadata.resourceVersion`, only if nobody has since.

        Raises:
            ConflictError: somebody has.
            ReleaseError: no answer, or not allowed.
        """
        path = f"{self._path(resource, name)}?fieldManager={FIELD_MANAGER}"
        changed = self._call("PATCH", path, change, kind)
        assert changed is not None  # noqa: S101  only an absent object would be None
        return changed

    def _path(self, resource: Resource, name: str = "") -> str:
        path = f"{_GROUPS[resource]}/namespaces/{quote(self.namespace, safe='')}/{resource}"
        return f"{path}/{quote(name, safe='')}" if name else path

    def _call(
        self, method: str, path: str, body: Thing | None = None, kind: str = "", *, absent: bool = False
    ) -> Thing | None:
        from urllib3.exceptions import HTTPError

        where = f"{method} {self.address}{path.partition('?')[0]}"
        headers = {"Accept": "application/json", **({"Content-Type": kind} if kind else {})}
        request = self._client.param_serialize(
            method, path, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            answer = self._client.call_api(*request, _request_timeout=(_CONNECT_S, _ANSWER_S))
            text = answer.read()
        except (HTTPError, OSError) as error:
            raise ReleaseError(
                where=where,
                problem=f"the API does not answer ({reason(error) if isinstance(error, OSError) else error})",
                remedy="See whether the cluster runs: kubectl get nodes.",
            ) from error
        if 200 <= answer.status < 300:
            found: Thing = json.loads(text)
            return found
        if answer.status == 404 and absent:
            return None
        raise _refusal(where, answer.status, text)


def _refusal(where: str, status: int, text: bytes) -> ReleaseError:
    try:
        said = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        said = text[:200].decode("utf-8", "replace")
    if status == 409:
        return ConflictError(where=where, problem=f"changed by somebody else: {said}", remedy="Try again.")
    remedy = {
        401: "Log in to the cluster again.",
        403: "Give this account the Role release of infra/kubernetes/base/project.",
        404: "Apply the manifests first (docs/how-to/kubernetes.md).",
    }
    return ReleaseError(
        where=where,
        problem=f"the API answered {status}: {said}",
        remedy=remedy.get(status, "See the message above, and the API server's log."),
    )
