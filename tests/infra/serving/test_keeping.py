"""The place under steady load, with the real proxy: what is promised about requests that must not fail."""

from __future__ import annotations

import os
import signal
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from place_support import NAME, Load, Trial, haproxy_pids, kept, kill

from har.errors import ReleaseError
from har.release import is_served_by_canary

pytestmark = pytest.mark.stack
long = pytest.mark.release


def versions_now(load: Load, seconds: float = 0.5) -> set[str]:
    """The versions that answer in the next moments."""
    time.sleep(0.2)  # what has begun before
    load.by_subject.clear()
    time.sleep(seconds)
    return {version for versions in load.by_subject.values() for version in versions}


def test_a_release_moves_subjects_and_loses_no_request(tmp_path: Path) -> None:
    with kept(tmp_path, replicas=2) as trial, Load(trial.port) as load:
        tag = trial.package("v2")
        trial.serving.start(tag, salt="r1")
        assert trial.serving.now().share == 0
        assert versions_now(load) == {"v1"}  # packaged and ready, and no client sees it
        trial.serving.share(0.3, lease_s=30)
        assert versions_now(load, 1.0) == {"v1", "v2"}
        met = {subject for subject, versions in load.by_subject.items() if "v2" in versions}
        assert met == {subject for subject in load.by_subject if is_served_by_canary(subject, "r1", 0.3)}
        assert all(len(versions) == 1 for versions in load.by_subject.values())
        counts = trial.serving.counts()
        assert counts["canary"].requests > 0
        assert counts["canary"].failed == 0

        trial.serving.promote()
        assert trial.serving.now().stable == tag
        assert versions_now(load) == {"v2"}
        trial.serving.withdraw()  # the former version is still there
        assert versions_now(load) == {"v1"}
        trial.until(lambda: len(trial.place.running().replicas) == 2)
        assert trial.serving.now().stable == f"{NAME}:v1"
    assert load.failed == {}
    assert load.total > 500


@long
def test_a_canary_that_nobody_watches_serves_nobody(tmp_path: Path) -> None:
    with kept(tmp_path) as trial, Load(trial.port) as load:
        trial.serving.start(trial.package("v2"), salt="r1")
        trial.serving.share(0.5, lease_s=2)
        trial.until(lambda: load.answers["v2", 200])
        trial.until(lambda: trial.serving.now().share == 0)
        time.sleep(1.2)  # the proxy counts whole seconds
        assert versions_now(load, 1.0) == {"v1"}
    assert load.failed == {}


@long
def test_a_canary_that_fails_hurts_its_subjects_only_until_it_is_withdrawn(tmp_path: Path) -> None:
    with kept(tmp_path) as trial, Load(trial.port) as load:
        trial.order("v2", status=500)
        trial.serving.start(trial.package("v2"), salt="r1")
        trial.serving.share(0.25, lease_s=30)
        trial.until(lambda: trial.serving.counts()["canary"].failed > 5)
        began = time.monotonic()
        trial.serving.withdraw()
        assert time.monotonic() - began < 1
        time.sleep(0.3)
        before = load.answers["v2", 500]
        assert versions_now(load) == {"v1"}
        assert load.answers["v2", 500] == before
        # It can be released again at once.
        trial.order("v2")
        trial.serving.start(f"{NAME}:v2", salt="r2")
        trial.serving.share(1.0, lease_s=30)
        assert versions_now(load) == {"v2"}


@long
def test_a_canary_that_crashes_at_its_start_is_refused_and_nobody_notices(tmp_path: Path) -> None:
    with kept(tmp_path) as trial, Load(trial.port) as load:
        trial.order("v2", start="crash")
        with pytest.raises(ReleaseError, match="ended 2 times before it was ready"):
            trial.serving.start(trial.package("v2"), salt="r1")
        trial.serving.withdraw()
        trial.until(lambda: len(trial.place.running().replicas) == 1)
    assert set(load.answers) == {("v1", 200)}
    assert load.failed == {}


@long
def test_the_canary_falls_back_to_the_stable_version_while_none_of_its_replicas_is_usable(tmp_path: Path) -> None:
    with kept(tmp_path) as trial, Load(trial.port) as load:
        trial.serving.start(trial.package("v2"), salt="r1")
        trial.serving.share(1.0, lease_s=60)
        assert versions_now(load) == {"v2"}
        trial.order("v2", start="crash")
        kill(trial.pid("green-s1"))
        trial.until(lambda: trial.ready(f"{NAME}:v2") == [])
        assert versions_now(load) == {"v1"}


def test_killed_replicas_lose_no_request_where_another_one_is_left(tmp_path: Path) -> None:
    with kept(tmp_path, replicas=2) as trial, Load(trial.port) as load:
        for who in ("blue-s1", "blue-s2"):
            kill(killed := trial.pid(who))
            trial.until(lambda who=who, killed=killed: trial.pid(who) not in (0, killed))
            trial.until(lambda: len(trial.ready(f"{NAME}:v1")) == 2)
    assert load.failed == {}
    assert any("killed by SIGKILL; it is started again in 1 s" in line for line in trial.said)


@pytest.mark.parametrize("which", ["master", pytest.param("worker", marks=long)])
def test_a_killed_proxy_comes_back_with_its_split_and_servers(tmp_path: Path, which: str) -> None:
    with kept(tmp_path, replicas=2) as trial:
        trial.serving.start(trial.package("v2"), salt="r1")
        trial.serving.share(0.3, lease_s=60)
        servers = trial.place.runtime.servers()
        with Load(trial.port, clients=8) as load:
            trial.until(lambda: load.total > 100)
            master, worker = haproxy_pids(trial.place)
            kill({"master": master, "worker": worker}[which])
            trial.until(lambda: len(haproxy_pids(trial.place)) == 2 and master not in haproxy_pids(trial.place))
            trial.until(lambda: trial.keeper.ready)
            before = load.total
            trial.until(lambda: load.total > before + 200)
            assert trial.place.runtime.servers() == servers
        # Only what was on its way: no connection is refused meanwhile, and no subject changes its version.
        assert sum(load.failed.values()) <= load.clients
        assert all(len(versions) == 1 for versions in load.by_subject.values())
        assert {version for versions in load.by_subject.values() for version in versions} == {"v1", "v2"}


@long
def test_a_reload_of_the_proxy_keeps_everything(tmp_path: Path) -> None:
    with kept(tmp_path, replicas=2) as trial:
        trial.serving.start(trial.package("v2"), salt="r1")
        trial.serving.share(0.3, lease_s=60)
        servers = trial.place.runtime.servers()
        with Load(trial.port, clients=8) as load:
            trial.until(lambda: load.total > 100)
            master, worker = haproxy_pids(trial.place)
            os.kill(master, signal.SIGUSR2)
            trial.until(lambda: worker not in haproxy_pids(trial.place))
            before = load.total
            trial.until(lambda: load.total > before + 200)
            assert trial.place.runtime.servers() == servers
        # Each kept connection may be closed once while it waits for its next request.
        assert set(load.failed) <= {"IncompleteReadError", "ConnectionResetError"}
        assert sum(load.failed.values()) <= load.clients
        assert all(len(versions) == 1 for versions in load.by_subject.values())


@long
def test_a_failing_replica_is_ejected_and_let_in_again_once_it_answers(tmp_path: Path) -> None:
    with kept(tmp_path, replicas=2) as trial, Load(trial.port) as load:
        trial.order("v1", "blue-s2", status=500)
        trial.until(lambda: trial.ready(f"{NAME}:v1") == ["blue-s1"])
        time.sleep(0.3)
        failed = load.by_replica["blue-s2", 500]
        time.sleep(2)
        assert load.by_replica["blue-s2", 500] == failed
        assert failed < 0.5 * load.total
        trial.order("v1", "blue-s2")
        trial.until(lambda: len(trial.ready(f"{NAME}:v1")) == 2)
        before = load.by_replica["blue-s2", 200]
        trial.until(lambda: load.by_replica["blue-s2", 200] > before + 20)
    assert any("requests failed; it gets no more for 5 s" in line for line in trial.said)
    assert any("answers again and gets requests" in line for line in trial.said)


@long
def test_the_last_usable_replica_is_never_ejected(tmp_path: Path) -> None:
    with kept(tmp_path, replicas=2) as trial, Load(trial.port) as load:
        trial.order("v1", status=500)
        time.sleep(4)
        assert trial.ready(f"{NAME}:v1")
        assert load.answers["proxy", 503] == 0
        trial.order("v1")
        trial.until(lambda: load.answers["v1", 200] > 20)


@long
def test_a_promoted_version_s_replicas_are_replaced_by_ones_without_a_shadow(tmp_path: Path) -> None:
    with kept(tmp_path, replicas=2) as trial, Load(trial.port) as load:
        tag = trial.package("v2")
        trial.serving.start(tag, salt="r1")
        first = {trial.pid("green-s1"), trial.pid("green-s2")}
        trial.serving.share(1.0, lease_s=60)
        trial.serving.promote(keep_former=False)

        def replaced() -> bool:
            replicas = trial.place.running().replicas
            return len(trial.ready(tag)) == len(replicas) == 2 and {one.name for one in replicas}.isdisjoint(
                {"s1", "s2"}
            )

        trial.until(replaced)
        assert first.isdisjoint({trial.pid(who) for who in trial.ready(tag)})
    assert load.failed == {}


def test_replicas_are_added_and_drained_without_a_failed_request(tmp_path: Path) -> None:
    with kept(tmp_path) as trial, Load(trial.port) as load:
        tag = f"{NAME}:v1"
        for count in (3, 1, 2):
            trial.serving.scale(count)
            trial.until(lambda count=count: len(trial.ready(tag)) == len(trial.place.running().replicas) == count)
    assert load.failed == {}
    with pytest.raises(ReleaseError, match="1 to 16"):
        trial.serving.scale(17)


@long
def test_a_first_version_is_served_at_once_and_the_next_one_by_a_release_only(tmp_path: Path) -> None:
    with kept(tmp_path, first="") as trial:
        assert trial.keeper.wanted() == ""
        first = trial.package("v1")
        trial.until(lambda: trial.ready(first))
        trial.package("v2")
        time.sleep(1)
        assert {one.tag for one in trial.place.running().replicas} == {first}


@long
def test_latest_is_followed_without_a_release_where_it_is_so_set(tmp_path: Path) -> None:
    with kept(tmp_path, automatic=False) as trial, Load(trial.port) as load:
        trial.order("v2", start="crash")
        trial.package("v2")
        trial.until(lambda: any("v1 goes on serving until another version is packaged" in line for line in trial.said))
        third = trial.package("v3")
        trial.until(lambda: trial.serving.now().stable == third)
        trial.until(lambda: [one.tag for one in trial.place.running().replicas] == [third])
        assert versions_now(load) == {"v3"}
    assert load.failed == {}
    assert set(load.answers) == {("v1", 200), ("v3", 200)}


@long
def test_a_place_that_begins_again_serves_what_it_served(tmp_path: Path) -> None:
    with kept(tmp_path) as trial:
        tag = trial.package("v2")
        trial.serving.start(tag, salt="r1")
        trial.serving.promote(keep_former=False)
        assert trial.serving.is_kept
    assert not trial.serving.is_kept
    with _again(tmp_path) as trial, Load(trial.port) as load:
        trial.until(lambda: load.answers["v2", 200])
    assert set(load.answers) <= {("v2", 200), ("proxy", 503)}


def _again(root: Path) -> AbstractContextManager[Trial]:
    for path in (root / "orders").iterdir():
        path.unlink()
    (root / "orders").rmdir()
    return kept(root, first="")
