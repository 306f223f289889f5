"""The proxy of a stack: its configuration, the rule that divides the subjects, and its socket, in `.stack/proxy`.

The folder is mounted into the proxy's container, whose user is another one: files are readable by all, and `.stack`
itself by its owner only. The configuration is the one of `make up`, with boxes found by name in place of slots.
"""

from __future__ import annotations

from pathlib import Path

from har.files import make_folder, write_atomically
from har.settings import Settings
from infra.serving.proxy import BACKENDS, Options, Rules, Runtime, configuration, guarded, tls_bind
from infra.serving.proxy.certificates import PROXY, make_certificate, names_of, read_certificate
from infra.serving.proxy.configuration import DECODE, DECODER, MAP, STATE, figures_section
from infra.serving.state import Place

PORT, TLS_PORT, FIGURES_PORT = 8080, 8443, 8405
"""In the container: for clients, for clients with TLS, and for Prometheus."""

STORAGE = "storage.env"
"""The AWS_ variables of object storage, for the services that read tables or model files."""

_SOCKET = "run/proxy.sock"
_CERTIFICATE = Path("/srv/tls") / PROXY


class StackPlace(Place):
    """The files of a stack.

    Args:
        folder: `.stack` of the project.
    """

    def __init__(self, folder: Path) -> None:
        self.store, self.folder = folder, folder / "proxy"
        self._wanted, self._running = folder / "serving.json", folder / "replicas.json"

    @property
    def socket(self) -> Path:
        """The proxy's runtime socket."""
        return self.folder / _SOCKET

    @property
    def runtime(self) -> Runtime:
        """The running proxy."""
        return Runtime.at(self.socket)

    @property
    def mirror(self) -> Path:
        """Which share of its requests the stable box copies to the canary."""
        return self.folder / "mirror" / "mirror.json"

    def prepare(self) -> None:
        """Make the folders that are mounted into containers."""
        for folder in (self.folder, self.folder / "run", self.mirror.parent, self.store / "boxes", self.store / "tls"):
            make_folder(folder).chmod(0o755)
        for path in (*map(self.box, BACKENDS), self.store / STORAGE):
            if not path.exists():
                write_atomically(path, "", private=True)

    def box(self, backend: str) -> Path:
        """The variables of a box, NAME=VALUE."""
        return self.store / "boxes" / f"{backend}.env"

    def open(self) -> None:
        """Let the proxy's user read the files that were written."""
        for path in (self.map, self.mirror):
            if path.exists():
                path.chmod(0o644)


def write_proxy(place: StackPlace, settings: Settings, *, tls: bool) -> bool:
    """Write the proxy's files; returns whether its configuration differs from the last one.

    Args:
        place: of the stack.
        settings: of the project: limits, and times.
        tls: whether it also listens with TLS.
    """
    place.prepare()
    serving = settings.serving
    options = Options(
        bind=[f":{PORT}", *([tls_bind(f":{TLS_PORT}", _CERTIFICATE)] if tls else [])],
        socket=f"/srv/proxy/{_SOCKET}",
        # The container's folder keeps others out: this machine's user is another one than the proxy's.
        socket_mode="666",
        concurrency=serving.max_concurrency * serving.workers,
        timeout_s=serving.timeout_s,
        boxes={backend: [f"online-{backend}:3000"] for backend in BACKENDS},
        local=False,
        sections=[figures_section(f":{FIGURES_PORT}")],
    )
    text = configuration(guarded(options, Rules.of(settings, here=()), tls=tls))
    path = place.folder / "haproxy.cfg"
    changed = not path.exists() or path.read_text(encoding="utf-8") != text
    # Addresses of boxes change, so no state of them is kept.
    for name, content in ((path.name, text), (DECODER, DECODE), (STATE, "1\n")):
        write_atomically(place.folder / name, content).chmod(0o644)
    place.split().write(place.folder / MAP)
    place.open()
    return changed


def write_certificate(place: StackPlace, settings: Settings, hosts: list[str]) -> Path:
    """Make or renew the proxy's certificate in `.stack/authority`; returns what clients have to trust.

    Raises:
        SettingsError: a name is none, or a file there is no certificate.
    """
    folder = place.store / "authority"
    held = read_certificate(folder)
    made = make_certificate(folder, names_of(settings, [*(held.names if held else ()), *hosts]))
    target = place.store / "tls" / PROXY
    if made.new or not target.exists():
        write_atomically(target, made.path.read_bytes(), private=True)
    return made.authority
