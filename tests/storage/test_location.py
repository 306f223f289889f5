"""Places of files: which texts name one, what can be done there, on disk and on S3, and what a store's refusal says."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from s3_support import bucket, faulty_proxy, free_port, needs_moto, use_keys

from har.errors import SettingsError, StorageError, StoreError
from har.settings import load_settings
from har.storage import Location, Service
from har.storage._s3 import require_conditional_put, require_reachable

SECRET = "wJalrXUtnFEMI"  # noqa: S105  nobody's
PLACES = ["folder", pytest.param("s3", marks=needs_moto)]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    return Location(str(tmp_path / "lake")) if request.param == "folder" else bucket(monkeypatch)


def lake_of(project: Path, value: str, more: str = "") -> Callable[[], object]:
    def load() -> object:
        path = project / "har.toml"
        path.write_text(path.read_text() + f'\n[paths]\nlake = "{value}"\n{more}')
        return load_settings(project)

    return load


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("lake", "{root}/lake"),
        ("/data/lake", "/data/lake"),
        ("file:///data/my%20lake", "/data/my lake"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
    ],
)
def test_what_names_a_place(project: Path, monkeypatch: pytest.MonkeyPatch, text: str, address: str) -> None:
    monkeypatch.setenv("HAR_PATHS__LAKE", text)
    settings = load_settings(project)
    place = settings.location("lake")
    assert str(place) == address.format(root=project)
    assert pickle.loads(pickle.dumps(place)) == place  # noqa: S301  our own
    assert hash(place) == hash(settings.location("lake"))
    if place.is_local:
        assert settings.path("lake") == Path(str(place))
    else:
        with pytest.raises(StorageError, match="expected a folder on this machine"):
            settings.path("lake")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3:/bucket/x", "with two slashes"),
        ("s3:bucket", "with two slashes"),
        ("S3://bucket", "spelt so"),
        ("gs://bucket/x", "other stores are not supported"),
        ("file://host/x", "file:///path"),
        ("s3://", "name of a bucket"),
        ("s3://My_Bucket/x", "name of a bucket"),
        ("s3://bucket/a//b", "single slashes"),
        ("s3://bucket/../b", "single slashes"),
        ("s3://bucket/a b", "letters, digits"),
        (f"s3://AKIA:{SECRET}@bucket/x", "without credentials"),
        (f"s3://bucket/x?secret={SECRET}", "without credentials"),
    ],
)
def test_what_names_none(project: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        lake_of(project, text)()
    assert "paths.lake" in str(caught.value)


def test_credentials_are_not_in_the_settings(project: Path) -> None:
    with pytest.raises(SettingsError, match="no credentials in this section") as caught:
        lake_of(project, "s3://bucket", f'[storage]\nsecret_access_key = "{SECRET}"\n')()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_files(place: Location) -> None:
    file = place / "part/one.txt"
    assert not place.exists()
    assert list(place.list()) == []
    for missing in (file.read_bytes, file.size):
        with pytest.raises(FileNotFoundError):
            missing()
    file.write_bytes(b"old")
    file.write_bytes(b"newer")
    with pytest.raises(FileExistsError):
        file.write_bytes(b"other", if_none_match="*")
    (place / "two.txt").write_bytes(b"2", if_none_match="*")
    assert (file.read_bytes(), file.size(), file.exists(), place.exists()) == (b"newer", 5, True, True)
    assert {entry.name: entry.size for entry in place.list()} == {"part/one.txt": 5, "two.txt": 1}
    assert abs(next(iter(place.list())).modified - time.time()) < 60
    (place / "two.txt").delete()
    (place / "two.txt").delete()
    (place / "partly.txt").write_bytes(b"")
    assert (place / "part").delete_prefix() == 1
    assert [entry.name for entry in place.list()] == ["partly.txt"]


@needs_moto
def test_a_store_that_forgets_conditions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty_proxy(without_conditions=True) as faults:
        place = bucket(monkeypatch, url=faults.url)
        with pytest.raises(StorageError, match="enforces If-None-Match"):
            require_conditional_put(place)
        assert list(place.list()) == []
    require_conditional_put(bucket(monkeypatch))


@needs_moto
@pytest.mark.parametrize(
    ("status", "said"),
    [
        ((403, "InvalidAccessKeyId"), "403 Forbidden InvalidAccessKeyId. Check AWS_ACCESS_KEY_ID"),
        ((403, "AccessDenied"), "credentials that the store accepts"),
        ((301, "PermanentRedirect"), "storage.region"),
    ],
)
def test_a_refusal_says_what_to_do(monkeypatch: pytest.MonkeyPatch, status: tuple[int, str], said: str) -> None:
    with faulty_proxy(status=status) as faults:
        place = bucket(monkeypatch, url=faults.url)
        with pytest.raises(StoreError, match=said):
            require_reachable(place)
        with pytest.raises(StoreError, match=said):
            (place / "x").read_bytes()


@needs_moto
def test_a_missing_bucket_and_a_store_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    known = bucket(monkeypatch)
    with pytest.raises(StoreError, match=r"s3://no-such-bucket at http://127.*expected a bucket that exists"):
        require_reachable(Location("s3://no-such-bucket/x", known.service))
    begun = time.monotonic()
    with pytest.raises(StoreError, match="expected a store that can be reached, but got no answer"):
        require_reachable(Location("s3://some-bucket", Service(endpoint=f"http://127.0.0.1:{free_port()}")))
    assert time.monotonic() - begun < 10


@needs_moto
def test_failures_that_pass_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty_proxy(share_500=0.25, share_503=0.25) as faults:
        place = bucket(monkeypatch, url=faults.url)
        for number in range(10):
            (place / f"{number}").write_bytes(b"x")
        assert len(list(place.list())) == 10
        assert faults.failed > 3
        faults.share_503 = 1.0
        hasty = Location(str(place), Service(endpoint=faults.url, retries=1))
        with pytest.raises(StoreError, match=r"but got 503 Service Unavailable.*storage\.retries"):
            hasty.size()


def test_credentials_of_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_keys(monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text(f"[lab]\naws_access_key_id = AKIALAB\naws_secret_access_key = {SECRET}\nregion = eu-north-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    place = Location("s3://bucket/lake", Service())
    with pytest.raises(StorageError, match=r"expected credentials in AWS_ACCESS_KEY_ID .*har.toml never holds them"):
        _ = place.options
    monkeypatch.setenv("AWS_PROFILE", "labb")
    with pytest.raises(StorageError, match=r"AWS_PROFILE: .*labb"):
        _ = place.options
    monkeypatch.setenv("AWS_PROFILE", "lab")
    options = place.options
    assert options is not None
    assert (options["AWS_ACCESS_KEY_ID"], options["AWS_SECRET_ACCESS_KEY"]) == ("AKIALAB", SECRET)
    assert (options["AWS_REGION"], options["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"]) == ("eu-north-1", "true")
    keys, _ = place.polars["credential_provider"]()
    assert keys["aws_secret_access_key"] == SECRET
    assert SECRET not in f"{place!r} {pickle.dumps(place)!r} {place.polars['storage_options']}"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    use_keys(monkeypatch)
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "har.storage._s3", raising=False)
    monkeypatch.delattr("har.storage._s3", raising=False)
    with pytest.raises(StorageError, match=r"har-mlops\[s3\]"):
        (Location("s3://bucket/lake") / "x").read_bytes()
