"""A certificate for the proxy, and the local authority that signs it: what `har tls` makes.

The authority can sign for the names of this proxy only, which its own certificate says: whoever steals its key cannot
pretend to be another site to those who trust it. All files lie in `paths.tls`; keys can be read by their owner only.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from har.errors import SettingsError
from har.files import make_folder, write_atomically
from har.settings import Settings

AUTHORITY, AUTHORITY_KEY, PROXY = "ca.pem", "ca.key", "proxy.pem"
"""What clients trust; the key that signs; and certificate, chain and key of the proxy, as HAProxy reads them."""
LOCAL = ("localhost", "127.0.0.1", "::1")

_AUTHORITY_DAYS, _PROXY_DAYS, _RENEW_DAYS = 3650, 397, 30
_MARGIN = dt.timedelta(hours=1)
"""Clients whose clock is late take the certificate at once."""
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

Names = tuple[str, ...]


@dataclass(frozen=True)
class Certificate:
    """A proxy's certificate.

    Attributes:
        path: the file for HAProxy.
        authority: the file that clients trust.
        names: host names and addresses that it is for.
        until: when it ends.
        new: "authority", "certificate", or "" if both were there and hold on.
    """

    path: Path
    authority: Path
    names: Names
    until: dt.datetime
    new: str = ""


def names_of(settings: Settings, further: Iterable[str] = ()) -> Names:
    """The names that the proxy is reached by: this machine's own, `serving.hosts`, and further ones.

    Raises:
        SettingsError: one is neither a host name nor an address.
    """
    given = [*LOCAL, *(_without_port(host) for host in settings.serving.hosts), *further]
    return tuple(dict.fromkeys(_checked(name.lower()) for name in given))


def make_certificate(folder: Path, names: Names, *, renew: bool = False, now: dt.datetime | None = None) -> Certificate:
    """Make what is missing: authority, certificate, or neither.

    A certificate is made anew by the same authority, so that clients go on trusting it, if it ends within 30 days.
    Names that the authority may not sign for need a new authority, which clients have to be given.

    A proxy that runs reads the file when it is started again.

    Args:
        folder: for the files.
        names: that the certificate has to have.
        renew: make a new certificate in any case.
        now: the time; by default the clock's.

    Raises:
        StorageError: the files cannot be written.
        SettingsError: a file there is none of these.
    """
    now = now or dt.datetime.now(dt.UTC)
    authority, key = _authority(folder)
    if authority is None or key is None or _ends_soon(authority, now) or not set(names) <= set(_permitted(authority)):
        key = ec.generate_private_key(ec.SECP256R1())
        authority, new = _sign_authority(key, names, now), "authority"
        make_folder(folder)
        folder.chmod(0o700)
        write_atomically(folder / AUTHORITY_KEY, _key_bytes(key), private=True)
        write_atomically(folder / AUTHORITY, authority.public_bytes(serialization.Encoding.PEM))
        (folder / AUTHORITY).chmod(0o644)
    else:
        held = read_certificate(folder)
        if held and not renew and set(held.names) == set(names) and held.until - now > dt.timedelta(days=_RENEW_DAYS):
            return held
        new = "certificate"
    own = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign_proxy(own, names, authority, key, now)
    parts = [one.public_bytes(serialization.Encoding.PEM) for one in (certificate, authority)]
    write_atomically(folder / PROXY, b"".join([*parts, _key_bytes(own)]), private=True)
    return Certificate(folder / PROXY, folder / AUTHORITY, names, certificate.not_valid_after_utc, new)


def read_certificate(folder: Path) -> Certificate | None:
    """The proxy's certificate; None: there is none.

    Raises:
        SettingsError: the file is none.
    """
    found = _load(folder / PROXY)
    if found is None:
        return None
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    texts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return Certificate(folder / PROXY, folder / AUTHORITY, tuple(texts), found.not_valid_after_utc)


def require_certificate(settings: Settings) -> Path:
    """The file for HAProxy.

    Raises:
        SettingsError: there is none, or it has ended.
    """
    held = read_certificate(settings.path("tls"))
    if held is None or held.until < dt.datetime.now(dt.UTC):
        raise SettingsError(
            where="serving.tls",
            expected=f"a certificate in {settings.path('tls') / PROXY}",
            got="none" if held is None else f"one that ended on {held.until:%Y-%m-%d}",
            remedy="Make one: har tls. One of another authority: certificate, chain and key in this one file.",
        )
    return held.path


def _authority(folder: Path) -> tuple[x509.Certificate | None, ec.EllipticCurvePrivateKey | None]:
    certificate, path = _load(folder / AUTHORITY), folder / AUTHORITY_KEY
    if certificate is None or not path.exists():
        return None, None
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise _damaged(path)
    return certificate, key


def _load(path: Path) -> x509.Certificate | None:
    if not path.exists():
        return None
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> SettingsError:
    return SettingsError(
        where=str(path),
        expected="what har tls wrote there",
        got="something else",
        remedy="Restore it, or delete the folder and make all anew: har tls. Clients then need the new ca.pem.",
    )


def _sign_authority(key: ec.EllipticCurvePrivateKey, names: Names, now: dt.datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Local authority for {_title(names)}")])
    usage = {name: name in ("key_cert_sign", "crl_sign") for name in _USAGES}
    return (
        _begun(name, name, key.public_key(), now, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.NameConstraints([_subtree(name) for name in names], None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _sign_proxy(
    own: ec.EllipticCurvePrivateKey,
    names: Names,
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _title(names))])
    usage = {name: name == "digital_signature" for name in _USAGES}
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return (
        _begun(subject, authority.subject, own.public_key(), now, _PROXY_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _MARGIN)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _title(names: Names) -> str:
    return next((name for name in names if name not in LOCAL), "localhost")[:40]


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _general(name: str) -> x509.GeneralName:
    address = _address(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(address)


def _subtree(name: str) -> x509.GeneralName:
    address = _address(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(ipaddress.ip_network(address))


def _permitted(authority: x509.Certificate) -> Names:
    try:
        held = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(one.value).partition("/")[0] for one in held)


def _ends_soon(certificate: x509.Certificate, now: dt.datetime) -> bool:
    return certificate.not_valid_after_utc - now < dt.timedelta(days=_PROXY_DAYS)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _checked(name: str) -> str:
    if _address(name) is None and not _HOST.fullmatch(name):
        raise SettingsError(
            where="names of the certificate",
            expected="a host name or an address, such as har.example.org or 10.0.0.5",
            got=repr(name),
            remedy="Correct serving.hosts, or the name that was given.",
        )
    return name
