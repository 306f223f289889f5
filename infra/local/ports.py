"""The ports of the local stack's parts, and how one is held for a part that starts later or is replaced."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from har.errors import ServerError
from infra.local.server import HOST, bound

_HIGHEST = 65_535


@dataclass(frozen=True)
class Ports:
    """A port per part; 0: any free one.

    Attributes:
        prefect: pages and API.
        mlflow: pages.
        online: the online service; of HAProxy in front of it, where that is installed.
        batch: the batch service.
        prometheus: pages and API.
        alerts: Alertmanager.
        metrics: the project's figures for Prometheus.
    """

    prefect: int = 4200
    mlflow: int = 5000
    online: int = 3000
    batch: int = 3001
    prometheus: int = 9090
    alerts: int = 9093
    metrics: int = 9101

    @classmethod
    def chosen(cls, first: int | None, **given: int | None) -> Ports:
        """The ports that the options name.

        Args:
            first: the parts get this port and the following ones, in the order of the attributes; None: the defaults.
            given: single ports by attribute; None: not given.

        Raises:
            ServerError: a port is none, or two parts have the same.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        values = {} if first is None else {name: first + number for number, name in enumerate(names)}
        values |= {name: port for name, port in given.items() if port is not None}
        for name, port in values.items():
            if not 0 <= port <= _HIGHEST:
                raise ServerError(
                    where=f"port of {name}",
                    expected=f"a number from 1 to {_HIGHEST}, or 0 for any free one",
                    got=str(port),
                    remedy=_remedy(name, port),
                )
        ports = cls(**values)
        by_port: dict[int, str] = {}
        for name, port in dataclasses.asdict(ports).items():
            if port and by_port.setdefault(port, name) != name:
                raise ServerError(
                    where=f"port {port}",
                    expected="a port for each part",
                    got=f"the same one for {by_port[port]} and {name}",
                    remedy=_remedy(name, port),
                )
        return ports

    def free(self, name: str) -> int:
        """The part's port, which is free at this moment.

        Raises:
            ServerError: it is in use; names the options that choose others.
        """
        port: int = getattr(self, name)
        with bound(port, _remedy(name, port)) as tried:
            return int(tried.getsockname()[1])

    def remedy(self, name: str) -> str:
        """What to do if the part's port is in use."""
        return _remedy(name, getattr(self, name))


@contextlib.contextmanager
def held(name: str, ports: Ports) -> Iterator[int]:
    """Hold a part's port during the block, without listening, for services of this user that share it.

    Nobody else can listen on it; connections are refused while no service listens.

    Raises:
        ServerError: the port is in use.
    """
    port = ports.free(name)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as holder:
        # Not SO_REUSEADDR: with it, a second stack could hold the same port.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            holder.bind((HOST, port))
        except OSError as error:
            raise ServerError(
                where=f"port {port}", expected="a free port", got=str(error), remedy=_remedy(name, port)
            ) from error
        yield holder.getsockname()[1]


def _remedy(name: str, port: int) -> str:
    other = port + 1 if 0 < port < _HIGHEST else getattr(Ports, name)
    return f"Choose another one: `har up --{name}-port {other}`, or others for all parts: `har up --ports-from 5200`."
