"""What runs inside the containers: files arrive whole, volumes get their owner, the first process reaps the others."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from har.errors import ServerError, StorageError
from har.tokens import Tokens, add_token, rotate_token
from infra.compose.inside import exporter
from infra.compose.inside._waiting import wait_for_port
from infra.compose.inside.prepare import hand_over_token
from infra.compose.inside.prepare import main as prepare
from infra.compose.inside.receive import receive


def _tar(files: dict[str, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    stream.seek(0)
    return stream


def test_files_arrive_under_their_names_and_are_not_overwritten(tmp_path: Path) -> None:
    inbox = tmp_path / "data/inbox"
    first = {"./2024-01-01/s01_a.csv": b"1", "2024-01-02/s01_b.csv": b"22"}
    assert receive(_tar(first), inbox) == (2, [])
    assert receive(_tar({"2024-01-01/s01_a.csv": b"1", "2024-01-02/s01_b.csv": b"other"}), inbox) == (
        0,
        ["2024-01-02/s01_b.csv"],
    )
    assert {path.name: path.read_bytes() for path in inbox.rglob("*.csv")} == {"s01_a.csv": b"1", "s01_b.csv": b"22"}
    assert [path.name for path in inbox.parent.iterdir()] == ["inbox"]


@pytest.mark.parametrize("name", ["../out.csv", "/etc/out.csv", "2024-01-01/../../out.csv"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match="a name inside the inbox"):
        receive(_tar({name: b"x"}), tmp_path / "data/inbox")
    assert not [*tmp_path.rglob("out.csv")]


def test_a_stream_that_ends_early_leaves_whole_files_only(tmp_path: Path) -> None:
    whole = _tar({"2024-01-01/a.csv": b"a" * 20_000, "2024-01-01/b.csv": b"b" * 200_000}).getvalue()
    with pytest.raises(StorageError, match="a tar stream, complete"):
        receive(io.BytesIO(whole[:150_000]), tmp_path / "data/inbox")
    assert [path.stat().st_size for path in tmp_path.rglob("*.csv")] == [20_000]


def test_volumes_and_secrets_get_their_owner(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    (tmp_path / "volumes/lake").mkdir(parents=True)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/login").write_text("har:x\n")
    (tmp_path / "secrets/link").symlink_to("/etc/hostname")
    host = Path("/etc/hostname").stat().st_uid
    for folder in ("tls", "run"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tls/proxy.pem").write_text("a key\n")
    prepare(tmp_path / "volumes", tmp_path / "secrets", [tmp_path / "tls"], [tmp_path / "run"])
    for path in (tmp_path / "volumes/lake", tmp_path / "secrets/login", tmp_path / "tls/proxy.pem"):
        assert (path.stat().st_uid, path.stat().st_mode & 0o077) == (1034, 0)
    assert ((tmp_path / "run").stat().st_uid, (tmp_path / "run").stat().st_mode & 0o777) == (1034, 0o755)
    assert Path("/etc/hostname").stat().st_uid == host


def test_the_first_token_is_handed_over_and_a_renewed_one_as_well(tmp_path: Path) -> None:
    secret, target, me = tmp_path / "secret", tmp_path / "feedback-token", os.getuid()
    secret.write_text("the-first-token-of-all\n")
    hand_over_token(secret, target, me)
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("the-first-token-of-all\n", 0o600)
    named = add_token(target, "gym")
    rotated = rotate_token(target, "first")
    hand_over_token(secret, target, me)
    tokens = Tokens(target)
    assert [tokens.name_of(word.encode()) for word in (named, rotated)] == ["gym", "first"]
    secret.write_text("another-token-of-all\n")
    os.utime(secret, (time.time() + 5,) * 2)
    hand_over_token(secret, target, me)
    words = (named, "another-token-of-all", rotated, "the-first-token-of-all")
    assert [tokens.name_of(word.encode()) for word in words] == ["gym", "first", None, None]


def test_a_service_that_does_not_come_is_named() -> None:
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:1: did not answer within 0 s"):
        wait_for_port("127.0.0.1", 1, timeout_s=0)


_PROGRAM = """
from infra.compose.inside.worker import _supervise
import sys
sys.exit(_supervise({worker!r}, {beside!r}))
"""


def _first(worker: list[str], beside: list[str] | None = None) -> list[str]:
    return [sys.executable, "-c", _PROGRAM.format(worker=worker, beside=beside)]


@pytest.mark.stack
def test_the_first_process_ends_as_the_worker_does_and_passes_signals_on() -> None:
    assert subprocess.run(_first([sys.executable, "-c", "exit(3)"])).returncode == 3
    program = "import signal, time; signal.signal(15, lambda *_: exit(7)); print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen(_first([sys.executable, "-c", program]), stdout=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 7


@pytest.mark.stack
def test_deployments_that_fail_end_the_worker_so_that_the_engine_tries_again() -> None:
    failing = [sys.executable, "-c", "exit(9)"]
    assert subprocess.run(_first(["sleep", "60"], failing)).returncode == 1
    lasting, done = [sys.executable, "-c", "import time; time.sleep(2)"], [sys.executable, "-c", "exit(0)"]
    assert subprocess.run(_first(lasting, done)).returncode == 0


def test_the_exporter_writes_whom_alertmanager_tells_before_it_serves(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (project / "har.toml").open("a") as toml:
        toml.write('\n[alerts]\nwebhook = "http://hook:1/"\nwebhook_token_file = "anywhere"\n')
    file = project / "alertmanager.yml"
    monkeypatch.setattr(exporter, "ALERTS", file)
    monkeypatch.setattr(exporter, "client_environment", lambda: {"HAR_ROOT": str(project)})

    def export(arguments: list[str]) -> int:
        assert "credentials_file: /run/alerts/webhook_token" in file.read_text()
        assert arguments[-2:] == ["--port", "9101"]
        return 3

    monkeypatch.setattr(exporter, "export", export)
    with pytest.raises(SystemExit, match="3"):
        exporter.main()
