"""Clients of an MQTT broker, for the source and for those who send: version, login, TLS, reconnection."""

from __future__ import annotations

import queue
import secrets
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from har.errors import SourceError, reason
from har.settings import Mqtt

if TYPE_CHECKING:
    from paho.mqtt.client import Client

V5, V3 = 5, 4
"""MQTT 5 and MQTT 3.1.1, as paho numbers them."""
_WAIT_S = 5.0
_PING_S = 20
_LONGEST_PAUSE_S = 30
_KEEP_SESSION_S = 7 * 86_400
_BAD_LOGIN = {"Bad user name or password", "Not authorized", "Bad authentication method"}


def client(mqtt: Mqtt, version: int, client_id: str, *, keep_session: bool, manual_ack: bool = False) -> Client:
    """A client that is not connected yet; without `keep_session` the broker forgets it when it leaves.

    Raises:
        SourceError: paho-mqtt is not installed, or a file of the settings cannot be read.
    """
    try:
        from paho.mqtt.client import CallbackAPIVersion, Client  # type: ignore[attr-defined]
    except ImportError as error:
        raise SourceError(
            where="stream.mqtt",
            problem="paho-mqtt, the client of MQTT brokers, is not installed",
            remedy="Install it with `uv pip install 'har-mlops[stream]'` or `uv pip install paho-mqtt`.",
        ) from error
    made = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=version,  # type: ignore[arg-type]
        manual_ack=manual_ack,
        clean_session=None if version == V5 else not keep_session,
    )
    made.reconnect_delay_set(1, _LONGEST_PAUSE_S)
    if mqtt.user:
        made.username_pw_set(mqtt.user, _password(mqtt.password_file))
    if mqtt.tls_ca is not None:
        try:
            made.tls_set(ca_certs=str(mqtt.tls_ca))
        except (OSError, ssl.SSLError) as error:
            raise SourceError(
                where="stream.mqtt.tls_ca",
                expected=f"the certificate of an authority in {mqtt.tls_ca}",
                got=reason(error),
                remedy="Set it to the file in PEM format that the broker's certificate was signed with.",
            ) from error
    return made


def connect(
    made: Client, mqtt: Mqtt, version: int, *, keep_session: bool, receive: int | None = None, pings: bool = True
) -> None:
    """Begin to connect, and reconnect for ever, in a thread of the client's own.

    Args:
        made: of `client`.
        mqtt: the broker.
        version: `V5` or `V3`.
        keep_session: as it was made.
        receive: messages that the broker may send without an acknowledgement of the first; MQTT 5 only.
        pings: false: the operating system finds out whether the broker is there, and the client need not read.
    """
    if not pings:
        made.on_socket_open = _watched
    host, _, port = mqtt.address.rpartition(":")
    made.connect_async(host, int(port), _PING_S if pings else 0, **_of_version(version, keep_session, receive))
    made.loop_start()


def leave(made: Client, version: int, *, forget: bool = False) -> None:
    """Disconnect and end the thread; with `forget`, the broker forgets the session, too."""
    if forget and version == V5:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        made.disconnect(properties=properties)
    else:
        made.disconnect()
    made.loop_stop()


def resolved(mqtt: Mqtt, root: Path, address: str = "") -> Mqtt:
    """The settings with files' paths from the project's folder, and another address unless that is ""."""
    return mqtt.model_copy(
        update={
            "address": address or mqtt.address,
            "tls_ca": mqtt.tls_ca and root / mqtt.tls_ca,
            "password_file": mqtt.password_file and root / mqtt.password_file,
        }
    )


def version_of(mqtt: Mqtt) -> int:
    """The newest version that the broker speaks.

    Raises:
        SourceError: it is away, or refuses the login.
    """
    refused = ""
    for version in (V5, V3):
        made = client(mqtt, version, f"har-{secrets.token_hex(6)}", keep_session=False)
        heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        made.on_connect = _first_answer(heard)
        made.on_disconnect = _gone(heard)
        host, _, port = mqtt.address.rpartition(":")
        try:
            made.connect(host, int(port), _PING_S, **_of_version(version, False, None))
        except OSError as error:
            raise away(mqtt, reason(error)) from error
        made.loop_start()
        try:
            refused = heard.get(timeout=_WAIT_S)
        except queue.Empty:
            refused = f"no answer within {_WAIT_S:g} s"
        finally:
            leave(made, version)
        if not refused:
            return version
        if refused in _BAD_LOGIN:
            break
    if refused in _BAD_LOGIN:
        raise SourceError(
            where=f"stream.mqtt, {mqtt.address}",
            expected="a broker that lets us in",
            got=refused,
            remedy="Set stream.mqtt.user and stream.mqtt.password_file to what the broker asks for.",
        )
    raise away(mqtt, refused)


def away(mqtt: Mqtt, why: str) -> SourceError:
    """The broker cannot be reached."""
    host, _, port = mqtt.address.rpartition(":")
    start = f"`mosquitto -p {port}`" if host in ("127.0.0.1", "localhost") else "it"
    return SourceError(
        where=f"stream.mqtt.address, {mqtt.address}",
        expected="an MQTT broker",
        got=why,
        remedy=f"Start {start} (apt-get install mosquitto), or set stream.mqtt.address and stream.mqtt.tls_ca.",
    )


def as_level(name: str) -> str:
    """A name as one level of a topic: what has a meaning there is written %2F, %2B, %23."""
    return name.replace("%", "%25").replace("/", "%2F").replace("+", "%2B").replace("#", "%23")


def _of_version(version: int, keep_session: bool, receive: int | None) -> dict[str, Any]:
    if version != V5:
        return {}
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = _KEEP_SESSION_S if keep_session else 0
    if receive is not None:
        properties.ReceiveMaximum = receive
    return {"clean_start": not keep_session, "properties": properties}


def _watched(_client: object, _data: object, connection: Any) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", _PING_S), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # macOS calls the first one otherwise
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _first_answer(heard: queue.SimpleQueue[str]) -> Callable[..., None]:
    def on_connect(_client: object, _data: object, _flags: object, code: Any, _properties: object) -> None:
        heard.put(str(code) if code.is_failure else "")

    return on_connect


def _gone(heard: queue.SimpleQueue[str]) -> Callable[..., None]:
    def on_disconnect(_client: object, _data: object, _flags: object, code: Any, _properties: object) -> None:
        heard.put(f"connection closed: {code}")

    return on_disconnect


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            where="stream.mqtt.password_file",
            expected=f"a password in {path}",
            got=reason(error),
            remedy="Write the password of stream.mqtt.user into the file, and let only yourself read it.",
        ) from error
