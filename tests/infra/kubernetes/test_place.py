"""A release in a cluster, move by move, against an API with the project's own manifests in it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_support import FakeCluster, connected, metrics, served

from har.errors import ReleaseError
from har.release import Served, Serving
from infra.kubernetes.cluster import STRATEGIC, Cluster
from infra.kubernetes.keeper import expire
from infra.kubernetes.place import KubernetesServing
from infra.kubernetes.route import Route, State

pytestmark = pytest.mark.stack

OLD, NEW, NEWER = (f"har-mlops-online:{tag}" for tag in ("v1-aaaaaaaa", "v2-bbbbbbbb", "v3-cccccccc"))


def container(fake: FakeCluster, colour: str) -> dict[str, Any]:
    return fake.deployment(colour)["spec"]["template"]["spec"]["containers"][0]


def env(fake: FakeCluster, colour: str) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(fake, colour)["env"]}


def test_before_a_release_blue_serves_everybody(place: KubernetesServing, fake: FakeCluster) -> None:
    serving: Serving = place  # as the release takes it
    assert serving.now() == Served(stable=OLD, replicas={"stable": 1, "canary": 0})
    assert "namespace har-mlops-staging of http://127.0.0.1" in serving.name
    assert fake.weights == {"blue": 10_000, "green": 0}


def test_a_good_release_from_its_start_to_its_end(place: KubernetesServing, fake: FakeCluster) -> None:
    place.start(NEW, salt="r1")
    assert fake.weights == {"blue": 10_000, "green": 0}, "no weight before a step gives it one"
    assert env(fake, "green")["HAR_SERVING__SHADOW"] == "previous", "the former version looks on"
    assert env(fake, "green")["HAR_PATHS__FEEDBACK_TOKEN"], "and its other variables stay"
    assert place.now().canary == NEW

    place.share(0.05, lease_s=10)
    now = place.now()
    assert fake.weights == {"blue": 9500, "green": 500}
    assert (now.stable, now.canary, now.share, now.salt) == (OLD, NEW, 0.05, "r1")
    assert now.lease_until == pytest.approx(time.time() + 10, abs=5)
    matches = fake.route["spec"]["rules"][0]["matches"]
    assert {"path": {"type": "Exact", "value": "/feedback"}} in matches, "the rest of the rule stays"

    place.share(1.0, lease_s=10)
    place.promote()
    assert fake.weights == {"blue": 0, "green": 10_000}
    assert place.now() == Served(stable=NEW, replicas={"stable": 1, "canary": 0})
    assert fake.deployment("blue")["spec"]["replicas"] == 1, "the former version stays ready"
    assert fake.notes == {"stable": "green", "former": "blue"}

    place.promote(keep_former=False)
    assert fake.deployment("blue")["spec"]["replicas"] == 0
    assert fake.notes == {"stable": "green"}
    assert "HAR_SERVING__SHADOW" not in env(fake, "green")
    calls = len(fake.calls)
    place.promote(keep_former=False)
    assert fake.notes == {"stable": "green"}, "again, and nothing else happens"
    assert len(fake.calls) > calls


def test_the_next_release_takes_the_other_colour(place: KubernetesServing, fake: FakeCluster) -> None:
    place.start(NEW, salt="r1")
    place.promote()
    place.start(NEWER, salt="r2")
    assert fake.deployment("blue")["spec"]["template"]["spec"]["containers"][0]["image"] == NEWER
    assert fake.notes == {"stable": "green", "canary": "blue", "salt": "r2"}
    place.share(0.25, lease_s=10)
    assert fake.weights == {"blue": 2500, "green": 7500}


def test_withdrawing_puts_the_stable_version_back_before_pods_end(place: KubernetesServing, fake: FakeCluster) -> None:
    place.start(NEW, salt="r1")
    place.share(0.5, lease_s=10)
    fake.calls.clear()
    place.withdraw()
    changes = [what for method, what, _ in fake.calls if method == "PATCH"]
    assert changes == ["httproutes/online", "deployments/online-green"], "first the traffic"
    assert fake.weights == {"blue": 10_000, "green": 0}
    assert fake.deployment("green")["spec"]["replicas"] == 0
    place.withdraw()
    assert fake.notes == {"stable": "blue"}
    place.start(NEW, salt="r2")
    assert place.now().canary == NEW, "what was withdrawn can be started again"


def test_withdrawing_after_a_promotion_puts_the_former_version_back(
    place: KubernetesServing, fake: FakeCluster
) -> None:
    place.start(NEW, salt="r1")
    place.share(1.0, lease_s=10)
    place.promote()
    place.withdraw()
    assert fake.weights == {"blue": 10_000, "green": 0}
    assert place.now() == Served(stable=OLD, replicas={"stable": 1, "canary": 0})
    assert fake.deployment("green")["spec"]["replicas"] == 0


def test_nobody_is_sent_to_a_former_version_without_pods(place: KubernetesServing, fake: FakeCluster) -> None:
    place.start(NEW, salt="r1")
    place.promote()
    fake.edit("deployments", "online-blue", {"spec": {"replicas": 0}})
    with pytest.raises(ReleaseError, match="online-blue: expected a pod of the former version that is ready"):
        place.withdraw()
    assert fake.weights == {"blue": 0, "green": 10_000}


@pytest.mark.parametrize(
    ("trouble", "said"),
    [("pull", "ImagePullBackOff"), ("crash", "CrashLoopBackOff.*it ended with 1"), ("slow", "not ready within 2 s")],
)
def test_a_canary_that_does_not_start(place: KubernetesServing, fake: FakeCluster, trouble: str, said: str) -> None:
    fake.troubles[NEW] = trouble
    with pytest.raises(ReleaseError, match=f"{NEW}: it does not start: .*{said}"):
        place.start(NEW, salt="r1")
    assert fake.notes == {"stable": "blue"}
    assert fake.deployment("green")["spec"]["replicas"] == 0
    del fake.troubles[NEW]
    place.start(NEW, salt="r2")


def test_one_release_at_a_time_and_the_same_one_again(place: KubernetesServing, fake: FakeCluster) -> None:
    place.start(NEW, salt="r1")
    with pytest.raises(ReleaseError, match=f"expected no other release, but got the release of {NEW}"):
        place.start(NEWER, salt="r2")
    place.start(NEW, salt="r1")
    assert fake.notes == {"stable": "blue", "canary": "green", "salt": "r1"}


def test_a_share_without_a_release_is_refused(place: KubernetesServing, fake: FakeCluster) -> None:
    with pytest.raises(ReleaseError, match=r"expected a version that is being released.*har release start"):
        place.share(0.5, lease_s=10)
    assert fake.weights == {"blue": 10_000, "green": 0}


def test_a_canary_without_a_ready_pod_is_not_promoted(place: KubernetesServing, fake: FakeCluster) -> None:
    place.start(NEW, salt="r1")
    fake.troubles[NEW] = "slow"
    fake.edit("deployments", "online-green", {"metadata": {"labels": {"x": "y"}}})
    with pytest.raises(ReleaseError, match="online-green: expected a pod that is ready"):
        place.promote()
    assert fake.weights["blue"] == 10_000


def test_a_change_by_somebody_else_is_not_overwritten(place: KubernetesServing, fake: FakeCluster) -> None:
    place.start(NEW, salt="r1")
    hostname = {"spec": {"hostnames": ["har.example.org"]}}
    fake.before_patch.append(lambda: fake.edit("httproutes", "online", hostname))
    place.share(0.25, lease_s=10)
    assert fake.weights == {"blue": 7500, "green": 2500}
    assert fake.route["spec"]["hostnames"] == ["har.example.org"]


def test_the_stable_pods_are_told_where_copies_go(cluster: Cluster, fake: FakeCluster, tmp_path: Path) -> None:
    file = tmp_path / "mirror.json"
    place = KubernetesServing(cluster, mirror=file)
    place.start(NEW, salt="r1")
    place.share(0.0, mirror=0.5, lease_s=10)
    assert json.loads(file.read_text()) == {"address": "http://online-green:3000", "share": 0.5}
    assert place.now().mirror == 0.5
    place.share(0.05, lease_s=10)
    assert not file.exists()
    place.share(0.0, mirror=0.5, lease_s=10)
    place.withdraw()
    assert not file.exists()
    without = KubernetesServing(cluster)
    without.start(NEW, salt="r2")
    without.share(0.0, mirror=0.5, lease_s=10)
    assert without.now().mirror == 0.0, "what is not sent is not claimed"


def test_the_lease_ends_whatever_became_of_the_release(
    place: KubernetesServing, cluster: Cluster, fake: FakeCluster
) -> None:
    place.start(NEW, salt="r1")
    place.share(0.5, lease_s=0.3)
    route = Route(cluster)
    assert not expire(route), "it is held"
    time.sleep(0.35)
    assert place.now().share == 0.0, "what has run out is no share, even before the keeper has seen it"
    assert expire(route)
    assert fake.weights == {"blue": 10_000, "green": 0}
    assert not expire(route)
    place.share(0.5, lease_s=10)
    assert fake.weights == {"blue": 5000, "green": 5000}, "whoever still watches goes on"


def test_a_lease_renewed_at_the_last_moment_holds(
    place: KubernetesServing, cluster: Cluster, fake: FakeCluster
) -> None:
    place.start(NEW, salt="r1")
    place.share(0.5, lease_s=0.1)
    time.sleep(0.15)
    later = {"metadata": {"annotations": {"har.release/until": f"{time.time() + 60:.3f}"}}}
    fake.before_patch.append(lambda: fake.edit("httproutes", "online", later))
    assert not expire(Route(cluster))
    assert fake.weights == {"blue": 5000, "green": 5000}


def test_scaling(place: KubernetesServing, fake: FakeCluster) -> None:
    place.scale(3)
    scaler = fake.things["horizontalpodautoscalers", "online-blue"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 3)
    assert fake.deployment("blue")["spec"]["replicas"] == 3
    assert fake.deployment("green")["spec"]["replicas"] == 0, "what does not serve is not started"
    place.start(NEW, salt="r1")
    assert fake.deployment("green")["spec"]["replicas"] == 3
    with pytest.raises(ReleaseError, match="expected one or more, but got 0"):
        place.scale(0)


@pytest.fixture
def with_keda(rendered: dict[str, str]) -> Iterator[tuple[KubernetesServing, FakeCluster]]:
    fake = FakeCluster(rendered["keda"])
    with served(fake) as address, connected(address) as cluster:
        yield KubernetesServing(cluster), fake


def test_keda_starts_no_pods_of_a_colour_that_does_not_serve(with_keda: tuple[KubernetesServing, FakeCluster]) -> None:
    place, fake = with_keda
    paused = "autoscaling.keda.sh/paused-replicas"

    def notes(colour: str) -> dict[str, str]:
        return fake.things["scaledobjects", f"online-{colour}"]["metadata"].get("annotations", {})

    assert notes("green")[paused] == "0"
    place.start(NEW, salt="r1")
    assert paused not in notes("green")
    place.promote()
    place.promote(keep_former=False)
    assert notes("blue")[paused] == "0"
    place.scale(4)
    assert fake.things["scaledobjects", "online-green"]["spec"]["minReplicaCount"] == 4


def test_counts_are_added_up_and_never_fall(place: KubernetesServing, fake: FakeCluster) -> None:
    first = (
        'har_requests_total{route="/predict",status="200"} 90\nhar_requests_total{route="/predict",status="500"} 7\n'
    )
    texts = {OLD: first + 'har_requests_total{route="/predict",status="503"} 3\n', NEW: ""}
    with metrics(texts) as ports:
        fake.ports |= ports
        fake.edit("deployments", "online-blue", {"spec": {"replicas": 2}})
        counts = place.counts()["stable"]
        assert (counts.requests, counts.failed, counts.refused, counts.starts) == (200, 20, 6, 2)
        assert place.addresses()["stable"] == [f"http://127.0.0.1:{ports[OLD]}"] * 2
        fake.edit("deployments", "online-blue", {"spec": {"replicas": 1}})
        after = place.counts()["stable"]
        assert after.requests == 300, "what ended pods have counted stays"
        assert after.starts == 3
        place.start(NEW, salt="r1")
        assert place.counts()["canary"].requests == 0


def test_an_image_carries_the_registry_and_a_tag_does_not(cluster: Cluster, fake: FakeCluster) -> None:
    place = KubernetesServing(cluster, registry="registry.example.org/team")
    place.start(NEW, salt="r1")
    assert container(fake, "green")["image"] == f"registry.example.org/team/{NEW}"
    assert place.now().canary == NEW


def test_what_the_account_may_not_do_is_said(place: KubernetesServing, fake: FakeCluster) -> None:
    fake.refused.add("httproutes")
    with pytest.raises(ReleaseError, match=r"answered 403: httproutes is forbidden.*Role release"):
        place.now()


def test_an_api_that_does_not_answer(cluster: Cluster, fake: FakeCluster) -> None:
    with connected("http://127.0.0.1:9") as nowhere, pytest.raises(ReleaseError, match="the API does not answer"):
        KubernetesServing(nowhere).now()


def test_lists_of_kubernetes_own_kinds_are_merged_by_name(place: KubernetesServing, fake: FakeCluster) -> None:
    place.start(NEW, salt="r1")
    kinds = {what: kind for method, what, kind in fake.calls if method == "PATCH"}
    assert kinds["deployments/online-green"] == STRATEGIC
    assert State().alone() == State()
