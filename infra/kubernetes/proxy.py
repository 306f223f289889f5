"""HAProxy in the cluster: `python -m infra.kubernetes.proxy prepare` and `… follow`, in the Deployment `proxy`.

`prepare` writes the proxy's files before it starts. `follow` stays beside it: it reads the ConfigMap `split` about
three times a second and lets each new rule hold at once, through the proxy's socket.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from har.errors import HarError, ServerError
from har.files import write_atomically
from har.settings import Settings, load_settings
from infra.kubernetes.cluster import Cluster
from infra.kubernetes.route import COLOURS, PORT, SPLIT, deployment, split_of
from infra.serving.proxy import Backend, Options, Rules, Runtime, Split, configuration, guarded, tls_bind
from infra.serving.proxy.configuration import DECODE, DECODER, MAP, STATE, figures_section

FOLDER = Path("/srv/proxy")
CERTIFICATE = Path("/run/certificate")
SEEN = Path("/tmp/seen")  # noqa: S108  a volume of this container alone
_EVERY_S = 0.3


def options(
    settings: Settings,
    folder: Path,
    boxes: Mapping[Backend, Sequence[str]],
    *,
    bind: str = "0.0.0.0:8080",
    bind_tls: str = "0.0.0.0:8443",
    figures: str = "0.0.0.0:8405",
) -> Options:
    """The proxy's options, with TLS if there is a certificate in its folder.

    Args:
        settings: limits of the service, and of its clients.
        folder: of the proxy.
        boxes: where each colour answers.
        bind: for clients.
        bind_tls: for clients with TLS.
        figures: for Prometheus and for probes.
    """
    serving = settings.serving
    pem = folder / "certificate.pem"
    tls = pem.is_file()
    made = Options(
        bind=[bind, *([tls_bind(bind_tls, pem)] if tls else [])],
        socket=str(folder / "admin.sock"),
        # The colour's Service is one server here, with as many pods behind it as the autoscaler allows.
        concurrency=serving.max_concurrency * serving.workers * max(1, serving.replicas_max, serving.replicas),
        timeout_s=serving.timeout_s,
        boxes=boxes,
        local=False,
        sections=[figures_section(figures)],
    )
    return guarded(made, Rules.of(settings, here=()), tls=tls)


def prepare(cluster: Cluster, folder: Path, made: Options) -> None:
    """Write what the proxy starts with: its configuration, and the rule in force.

    Raises:
        ReleaseError: the API does not answer; without the rule, the wrong version might serve.
    """
    write_atomically(folder / DECODER, DECODE)
    write_atomically(folder / STATE, "1\n")
    split_of(cluster.require("configmaps", SPLIT)).write(folder / MAP)
    write_atomically(folder / "haproxy.cfg", configuration(made))


class Follower:
    """Lets the rule in the cluster hold in one proxy.

    Args:
        cluster: has the rule.
        folder: of the proxy.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self._runtime = Runtime.at(folder / "admin.sock")

    def look(self) -> Split:
        """Take the rule up, if it is another one; returns it.

        Raises:
            ReleaseError: the API does not answer.
            ServerError: the proxy does not answer.
        """
        split = split_of(self._cluster.require("configmaps", SPLIT))
        # First the file, from which a proxy that is started again takes it.
        if Split.read(self._folder / MAP) != split:
            split.write(self._folder / MAP)
        if self._runtime.held_split() != split.value:
            self._runtime.split(split)
        return split


def follow(follower: Follower, stopping: threading.Event, seen: Path = SEEN) -> None:
    """Look until it is asked to stop; troubles are said once."""
    trouble = ""
    while not stopping.wait(_EVERY_S):
        try:
            follower.look()
            seen.touch()
            trouble = ""
        except HarError as error:
            if str(error) != trouble:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            trouble = str(error)


def main(arguments: Sequence[str]) -> int:
    """Run one of the two commands; returns the exit status."""
    if list(arguments) not in (["prepare"], ["follow"]):
        print("expected prepare or follow", file=sys.stderr)
        return 2
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        cluster = Cluster.open()
        if arguments[0] == "follow":
            follow(Follower(cluster, FOLDER), stopping)
            return 0
        _unpack_certificate()
        domain = f"{os.environ['NAMESPACE']}.svc.cluster.local"
        # Complete names: HAProxy knows no search list.
        boxes = {colour: [f"{deployment(colour)}.{domain}:{PORT}"] for colour in COLOURS}
        prepare(cluster, FOLDER, options(load_settings(), FOLDER, boxes))
    except HarError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _unpack_certificate() -> None:
    """HAProxy wants certificate and key in one file, which no other container sees.

    Raises:
        ServerError: one of the two is missing.
    """
    parts = [CERTIFICATE / name for name in ("tls.crt", "tls.key")]
    there = [path for path in parts if path.is_file()]
    if not there:
        return
    if there != parts:
        raise ServerError(
            where=str(CERTIFICATE),
            expected="tls.crt and tls.key",
            got=there[0].name,
            remedy="Make the secret online-tls with: kubectl create secret tls.",
        )
    text = "\n".join(path.read_text(encoding="ascii").strip() for path in parts)
    write_atomically(FOLDER / "certificate.pem", text + "\n", private=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
