"""The certificate of the proxy: who trusts it, for which names, who can read the keys, and what a real HAProxy does."""

from __future__ import annotations

import datetime as dt
import shutil
import ssl
import stat
import subprocess
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from guarded_support import needs_haproxy, proxied
from serving_support import write_settings

from har.errors import SettingsError
from har.settings import Settings
from infra.serving.proxy import Rules, certificates
from infra.serving.proxy.certificates import make_certificate, names_of, read_certificate, require_certificate

NAMES = ("localhost", "127.0.0.1", "har.example.org")
DAY = dt.timedelta(days=1)
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return write_settings(tmp_path / "project", hosts=("har.example.org:8443", "10.0.0.5"))


def shakes_hands(server: Path, trusted: Path, name: str) -> bool:
    """Whether a client that trusts an authority takes the server for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    client = ssl.create_default_context(cafile=str(trusted))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname=name)
    theirs = context.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return True


def test_keys_are_for_their_owner_and_the_authority_for_everybody(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    make_certificate(folder, NAMES)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"ca.key": 0o600, "proxy.pem": 0o600, "ca.pem": 0o644}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert b"PRIVATE" not in (folder / "ca.pem").read_bytes()


def test_it_holds_for_the_hosts_of_the_settings_and_this_machine(settings: Settings) -> None:
    names = names_of(settings, ["Other.Example"])
    assert names == ("localhost", "127.0.0.1", "::1", "har.example.org", "10.0.0.5", "other.example")
    folder = settings.path("tls")
    made = make_certificate(folder, names)
    assert all(shakes_hands(made.path, made.authority, name) for name in names)
    assert not shakes_hands(made.path, made.authority, "elsewhere.example")
    for wrong in ("a b", "https://x", "-x", "é"):
        with pytest.raises(SettingsError, match="a host name or an address"):
            names_of(settings, [wrong])


def test_the_authority_can_vouch_for_nobody_else(tmp_path: Path) -> None:
    """Whoever steals its key cannot be another site to those who trust it."""
    made = make_certificate(tmp_path, NAMES)
    authority, key = certificates._authority(tmp_path)
    assert authority is not None
    assert key is not None
    own, names = ec.generate_private_key(ec.SECP256R1()), ("bank.example",)
    forged = certificates._sign_proxy(own, names, authority, key, dt.datetime.now(dt.UTC))
    path = tmp_path / "forged.pem"
    path.write_bytes(forged.public_bytes(certificates.serialization.Encoding.PEM) + certificates._key_bytes(own))
    assert not shakes_hands(path, made.authority, "bank.example")


def test_what_holds_is_kept_and_what_ends_is_renewed_by_the_same_authority(tmp_path: Path) -> None:
    first = make_certificate(tmp_path, NAMES, now=NOW)
    trusted = first.authority.read_bytes()
    assert (first.new, make_certificate(tmp_path, NAMES, now=NOW + 300 * DAY).new) == ("authority", "")
    assert read_certificate(tmp_path) == certificates.Certificate(
        first.path, first.authority, ("localhost", "har.example.org", "127.0.0.1"), first.until
    )
    later = make_certificate(tmp_path, NAMES, now=NOW + 380 * DAY)
    assert (later.new, later.until - first.until) == ("certificate", 380 * DAY)
    assert make_certificate(tmp_path, NAMES, renew=True, now=NOW + 380 * DAY).new == "certificate"
    assert make_certificate(tmp_path, NAMES[:2], now=NOW + 380 * DAY).new == "certificate"
    assert first.authority.read_bytes() == trusted
    # It may not sign for another name, and ends itself one day.
    assert make_certificate(tmp_path, (*NAMES, "new.example"), now=NOW).new == "authority"
    assert make_certificate(tmp_path, NAMES, now=NOW + 3400 * DAY).new == "authority"


def test_a_file_that_is_no_certificate_is_named_and_left_alone(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="har tls"):
        require_certificate(settings)
    made = make_certificate(settings.path("tls"), NAMES)
    assert require_certificate(settings) == made.path
    make_certificate(settings.path("tls"), NAMES, renew=True, now=dt.datetime.now(dt.UTC) - 500 * DAY)
    with pytest.raises(SettingsError, match="one that ended on"):
        require_certificate(settings)
    for name in ("ca.pem", "ca.key"):
        path = settings.path("tls") / name
        kept = path.read_bytes()
        path.write_text("nothing")
        with pytest.raises(SettingsError, match="something else"):
            make_certificate(settings.path("tls"), NAMES)
        assert path.read_text() == "nothing"
        path.write_bytes(kept)


@needs_haproxy
@pytest.mark.stack
def test_a_client_that_trusts_the_authority_speaks_to_the_proxy(tmp_path: Path) -> None:
    made = make_certificate(tmp_path / "tls", NAMES)
    trusting = ssl.create_default_context(cafile=str(made.authority))
    (tmp_path / "proxy").mkdir()
    with proxied(tmp_path / "proxy", Rules({"/predict": 1000}), certificate=made.path) as port:
        answer = httpx.get(f"https://localhost:{port}/model", verify=trusting)
        assert answer.json()["path"] == "/model"
        assert "strict-transport-security" not in answer.headers  # it would hold for all ports of localhost
        with httpx.Client(verify=trusting, headers={"Host": "har.example.org"}) as client:
            asked = client.build_request("GET", f"https://127.0.0.1:{port}/model")
            asked.extensions["sni_hostname"] = "har.example.org"
            named = client.send(asked)
        assert named.headers["strict-transport-security"].startswith("max-age=")
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"https://localhost:{port}/model")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://localhost:{port}/model")
        old = ssl.create_default_context(cafile=str(made.authority))
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://localhost:{port}/model", verify=old)
        if curl := shutil.which("curl"):
            command = [curl, "-sS", "--http2", "--cacert", str(made.authority), f"https://localhost:{port}/model"]
            done = subprocess.run([*command, "-w", "%{http_version}"], capture_output=True, text=True, check=True)
            assert done.stdout.endswith("}2")
