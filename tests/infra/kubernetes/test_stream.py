"""The component `stream`: consumers that share the online pods' folder, and are scaled by their lag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from har.errors import SettingsError
from har.settings import Settings, load_settings
from infra.kubernetes.lint import kustomize
from infra.kubernetes.write import Order, write

pytestmark = pytest.mark.stack
IMAGES = {box: f"registry.example.org/team/x-{box}:v1-aaaaaaaa" for box in ("online", "batch", "train")}


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    order = Order("production", IMAGES, further=("stream", "stream-keda"))
    text = kustomize(write(load_settings(), order, tmp_path_factory.mktemp("stream") / "out"))
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in yaml.safe_load_all(text)}


def _pod(thing: dict[str, Any]) -> dict[str, Any]:
    return thing["spec"]["template"]["spec"]


def _variables(things: dict[str, dict[str, Any]], name: str) -> dict[str, str]:
    container = _pod(things[name])["containers"][0]
    found = {}
    for source in container["envFrom"]:
        found |= things[f"ConfigMap/{source['configMapRef']['name']}"].get("data", {})
    return found | {one["name"]: one["value"] for one in container.get("env", [])}


def test_a_consumer_has_no_rights_and_is_probed(things: dict[str, dict[str, Any]]) -> None:
    pod = _pod(things["Deployment/stream"])
    (container,) = pod["containers"]
    assert pod["enableServiceLinks"] is False and pod["automountServiceAccountToken"] is False
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (1034, True)
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= {*container}
    assert container["image"] == IMAGES["train"]


def test_online_pods_and_consumers_share_one_folder(things: dict[str, dict[str, Any]]) -> None:
    def place(name: str) -> tuple[str, str]:
        """The volume that the stream's folder is in, and the path in it."""
        folder = _variables(things, name)["HAR_PATHS__STREAM"]
        pod = _pod(things[name])
        mounts = {one["mountPath"]: one for one in pod["containers"][0]["volumeMounts"]}
        mount = max((path for path in mounts if folder.startswith(f"{path}/")), key=len)
        claims = {one["name"]: one.get("persistentVolumeClaim", {}).get("claimName") for one in pod["volumes"]}
        assert not mounts[mount].get("readOnly") or name == "Deployment/exporter"
        return claims[mounts[mount]["name"]], folder.removeprefix(mount)

    names = ("Deployment/stream", "Deployment/online-blue", "Deployment/online-green", "Deployment/exporter")
    assert {place(name) for name in names} == {("journal", "/stream")}


def test_not_more_consumers_than_shards(things: dict[str, dict[str, Any]]) -> None:
    scaled = things["ScaledObject/stream"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == "stream"
    assert scaled["maxReplicaCount"] <= load_settings().stream.shards
    assert "replicas" not in things["Deployment/stream"]["spec"]


def test_the_scaler_alone_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="component stream-keda: expected the component stream"):
        write(settings, Order("staging", IMAGES, further=("stream-keda",)), tmp_path / "out")
