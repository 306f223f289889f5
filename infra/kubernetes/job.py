"""What Prefect's Kubernetes worker makes of a flow run: the base job template of the work pool."""

from __future__ import annotations

from typing import Any

_FOLDERS = {
    "data": "data",
    "lake": "lake",
    "reports": "reports",
    "runs": "runs",
    "mlruns": "mlruns",
    ".bentoml": "bentoml",
    ".prefect": "worker",
}
"""Folders of the project, and where they are in the volume `project`."""

_TEXT: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}


def template(image: str, namespace: str) -> dict[str, Any]:
    """The template: a Job that runs the flow as user 1034 with a read-only root and the project's volumes.

    A deployment may choose image, processors and memory with `job_variables` in prefect.yaml.

    Args:
        image: the train image.
        namespace: of the project.
    """
    variables = {
        "name": {**_TEXT, "title": "Name"},
        "command": {**_TEXT, "title": "Command"},
        "env": {"type": "object", "title": "Environment variables", "additionalProperties": _TEXT["anyOf"][0]},
        "labels": {"type": "object", "title": "Labels", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "title": "Annotations", "additionalProperties": {"type": "string"}},
        "namespace": {"type": "string", "title": "Namespace", "default": namespace},
        "image": {"type": "string", "title": "Image", "default": image},
        "cpu": {"type": "string", "title": "Most processors", "default": "2"},
        "memory": {"type": "string", "title": "Most memory", "default": "4Gi"},
        "finished_job_ttl": {"type": "integer", "title": "Seconds that ended Jobs are kept", "default": 86400},
        "pod_watch_timeout_seconds": {"type": "integer", "title": "Seconds to wait for the pod", "default": 300},
        "stream_output": {"type": "boolean", "title": "Show the output in the worker's", "default": False},
    }
    return {
        "job_configuration": {
            **{name: "{{ " + name + " }}" for name in ("command", "env", "labels", "name", "annotations", "namespace")},
            "job_manifest": _manifest(),
            "pod_watch_timeout_seconds": "{{ pod_watch_timeout_seconds }}",
            "stream_output": "{{ stream_output }}",
        },
        "variables": {"type": "object", "properties": variables},
    }


def _manifest() -> dict[str, Any]:
    labels = {f"har.access/{name}": "true" for name in ("api", "servers", "online")}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "generateName": "{{ name }}-",
            "namespace": "{{ namespace }}",
            "labels": "{{ labels }}",
            "annotations": "{{ annotations }}",
        },
        "spec": {
            "backoffLimit": 0,
            "parallelism": 1,
            "completions": 1,
            "ttlSecondsAfterFinished": "{{ finished_job_ttl }}",
            "template": {"metadata": {"labels": {"app.kubernetes.io/name": "flow", **labels}}, "spec": _pod()},
        },
    }


def _pod() -> dict[str, Any]:
    folders = [{"name": "project", "mountPath": f"/srv/har/{name}", "subPath": part} for name, part in _FOLDERS.items()]
    container = {
        "name": "prefect-job",
        "image": "{{ image }}",
        "imagePullPolicy": "IfNotPresent",
        # It puts the logins of the secret files into the environment, then becomes the command.
        "command": ["python", "-m", "infra.compose.inside.run"],
        "args": "{{ command }}",
        "env": "{{ env }}",
        "envFrom": [{"configMapRef": {"name": "project"}}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": "250m", "memory": "1Gi"},
            "limits": {"cpu": "{{ cpu }}", "memory": "{{ memory }}"},
        },
        "volumeMounts": [
            {"name": "secrets", "mountPath": "/run/secrets", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a volume of the pod
            {"name": "aws", "mountPath": "/run/aws", "readOnly": True},
            *folders,
            {"name": "journal", "mountPath": "/srv/online"},
        ],
    }
    login = {"secretName": "project", "defaultMode": 0o440, "items": [{"key": "login", "path": "login"}]}
    return {
        "serviceAccountName": "flows",
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1034,
            "runAsGroup": 1034,
            "fsGroup": 1034,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "secrets", "secret": login},
            {"name": "aws", "secret": {"secretName": "aws", "optional": True, "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}},
            {"name": "project", "persistentVolumeClaim": {"claimName": "project"}},
            {"name": "journal", "persistentVolumeClaim": {"claimName": "journal"}},
        ],
    }
