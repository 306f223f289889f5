"""Which engine is used, and what is said where there is none, or no such image."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from har.errors import PackagingError
from infra.images.engine import Engine, find_engine

Fake = Callable[..., Callable[[], list[list[str]]]]


def test_the_first_engine_that_answers_is_used(fake_engine: Fake) -> None:
    fake_engine("buildah")
    assert find_engine().name == "buildah"
    fake_engine("podman")
    assert find_engine().name == "podman"
    fake_engine("docker")
    assert find_engine().name == "docker"


def test_a_docker_command_without_its_daemon_is_no_engine(fake_engine: Fake) -> None:
    fake_engine("docker", failing=("info",))
    fake_engine("podman")
    assert find_engine().name == "podman"
    with pytest.raises(PackagingError, match=r"docker: does not answer .the daemon is away.*start docker"):
        find_engine("docker")


def test_the_variable_decides(fake_engine: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_engine("docker")
    fake_engine("buildah")
    monkeypatch.setenv("ENGINE", "buildah")
    assert find_engine().name == "buildah"
    monkeypatch.setenv("ENGINE", "podman")
    with pytest.raises(PackagingError, match="podman: not installed"):
        find_engine()
    monkeypatch.setenv("ENGINE", "containerd")
    with pytest.raises(PackagingError, match="one of docker, podman, buildah, but got 'containerd'"):
        find_engine()


def test_without_an_engine_all_that_was_tried_and_the_way_out_are_named(fake_engine: Fake) -> None:
    with pytest.raises(PackagingError) as refused:
        find_engine()
    for part in ("docker: not installed", "podman: not installed", "buildah: not installed", "apt install", "make up"):
        assert part in str(refused.value)


def test_buildah_builds_and_does_not_run(fake_engine: Fake) -> None:
    fake_engine("buildah", inspect='[{"Size": 1}]')
    engine = find_engine()
    with pytest.raises(PackagingError, match=r"runs containers, but got one that only builds.*ENGINE=podman"):
        engine.size_mb("x:1")
    with pytest.raises(PackagingError, match="only builds"), engine.container("x:1"):
        pass


def test_a_tag_that_does_not_exist_is_answered_with_those_that_do(fake_engine: Fake) -> None:
    listed = "localhost/a-online:v1-0000\nlocalhost/a-online:v2-1111\nlocalhost/b-online:v3\n"
    calls = fake_engine("podman", failing=("inspect",), images=listed)
    engine = Engine("podman")
    with pytest.raises(
        PackagingError, match=r"a-online:v9.*there are: a-online:v1-0000, a-online:v2-1111.*podman pull"
    ):
        engine.inspect("a-online:v9")
    with pytest.raises(PackagingError, match="none of this name"), engine.container("registry:5000/c-online"):
        pass
    assert not [call for call in calls() if call[0] == "run"], "nothing was started"


def test_the_end_of_an_engines_messages_is_shown(fake_engine: Fake) -> None:
    fake_engine("podman", failing=("build",))
    with pytest.raises(PackagingError, match=r"image x: `podman build` failed: the daemon is away. Do this"):
        Engine("podman").call("build", ".", where="image x", remedy="Do this.")
