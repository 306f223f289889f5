"""The commands and `har release`'s choice of the place, with a kubectl context that leads to the API of the test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from cluster_support import FakeCluster, kubeconfig

from har.errors import ReleaseError
from har.settings import Settings
from infra.kubernetes.__main__ import main
from infra.kubernetes.cluster import Cluster
from infra.kubernetes.lint import kustomize
from infra.kubernetes.place import KubernetesServing
from infra.serving.releasing import place as place_of

pytestmark = pytest.mark.stack
NEW = "har-mlops-online:v2-bbbbbbbb"
IMAGES = [word for box in ("online", "batch", "train") for word in (f"--{box}", f"har-mlops-{box}:v1-aaaaaaaa")]


@pytest.fixture
def context(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "config", address)))


@pytest.mark.usefixtures("context")
def test_a_release_works_where_the_setting_says(settings: Settings) -> None:
    there = settings.model_copy(update={"release": settings.release.model_copy(update={"place": "kubernetes"})})
    serving, lacks = place_of(there)
    assert isinstance(serving, KubernetesServing)
    assert lacks == ""
    assert serving.now().stable == "har-mlops-online:v1-aaaaaaaa"


@pytest.mark.usefixtures("context")
def test_status_and_scale(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scale", "3"]) == 0
    assert fake.deployment("blue")["spec"]["replicas"] == 3
    capsys.readouterr()
    assert main(["status"]) == 0
    assert json.loads(capsys.readouterr().out)["replicas"] == {"stable": 3, "canary": 0}
    fake.refused.add("configmaps")
    assert main(["status"]) == 1
    assert "answered 403" in capsys.readouterr().err


@pytest.mark.usefixtures("context")
def test_applying_again_keeps_what_serves(fake: FakeCluster, place: KubernetesServing, tmp_path: Path) -> None:
    place.start(NEW, salt="r1")
    place.share(0.25, lease_s=60)
    place.promote()
    assert main(["write", "staging", "--live", "--to", str(tmp_path / "out"), *IMAGES]) == 0
    found = [one for one in yaml.safe_load_all(kustomize(tmp_path / "out")) if one]
    things = {f"{one['kind']}/{one['metadata']['name']}": one for one in found}
    route = things["HTTPRoute/online"]
    assert route["metadata"]["annotations"] == fake.route["metadata"]["annotations"]
    assert route["spec"]["rules"] == fake.route["spec"]["rules"]
    for colour, image in (("blue", "har-mlops-online:v1-aaaaaaaa"), ("green", NEW)):
        spec = things[f"Deployment/online-{colour}"]["spec"]
        assert spec["template"]["spec"]["containers"][0]["image"] == image
        assert spec["replicas"] == 1


def test_no_cluster_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ReleaseError, match=r"expected a cluster: .*kubectl config use-context"):
        Cluster.open()


def test_secrets_are_made_once_and_private(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "infra.kubernetes.__main__.load_settings", lambda: settings.model_copy(update={"root": tmp_path})
    )
    for _ in range(2):
        assert main(["secrets", "staging"]) == 0
    folder = tmp_path / ".kubernetes" / "staging" / "secrets"
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(f"-staging create secret generic project --from-file={folder}")
    assert said[0] == said[1]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert {"login", "feedback_token", "postgres_password"} <= {path.name for path in folder.iterdir()}
