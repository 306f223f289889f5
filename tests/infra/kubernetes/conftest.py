"""The manifests as kustomize renders them, and an API with them in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_support import FakeCluster, connected, served

from har.settings import Settings, load_settings
from infra.kubernetes.cluster import Cluster
from infra.kubernetes.lint import kustomize
from infra.kubernetes.place import KubernetesServing
from infra.kubernetes.write import Order, write

ROOT = Path(__file__).resolve().parents[3]
IMAGES = {
    "online": "har-mlops-online:v1-aaaaaaaa",
    "batch": "har-mlops-batch:v1-aaaaaaaa",
    "train": "har-mlops-train:1",
}


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings(ROOT)


@pytest.fixture(scope="session")
def rendered(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Staging, production, and staging with KEDA and with HAProxy."""
    folder = tmp_path_factory.mktemp("overlays")
    orders = {
        "staging": Order("staging", IMAGES),
        "production": Order("production", IMAGES),
        "keda": Order("staging", IMAGES, further=("keda",)),
        "haproxy": Order("staging", IMAGES, further=("haproxy",)),
    }
    return {name: kustomize(write(settings, order, folder / name)) for name, order in orders.items()}


@pytest.fixture
def fake(rendered: dict[str, str]) -> FakeCluster:
    return FakeCluster(rendered["staging"])


@pytest.fixture
def address(fake: FakeCluster) -> Iterator[str]:
    with served(fake) as address:
        yield address


@pytest.fixture
def cluster(address: str) -> Iterator[Cluster]:
    with connected(address) as cluster:
        yield cluster


@pytest.fixture
def place(cluster: Cluster) -> KubernetesServing:
    return KubernetesServing(cluster, start_timeout_s=2.0)
