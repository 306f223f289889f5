"""A Prometheus server that reads the metrics of a registry, for tests of whoever asks it."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml
from ports_support import free_port
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import start_http_server

PROGRAM = shutil.which("prometheus")


@contextmanager
def prometheus_of(registry: CollectorRegistry, folder: Path, *, job: str = "project") -> Iterator[str]:
    """The address of a Prometheus that reads this registry once a second; it ends with the block."""
    assert PROGRAM is not None
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    assert isinstance(thread, threading.Thread)
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{server.server_address[1]}"]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    command = [PROGRAM, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for_values(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(20)
        server.shutdown()
        server.server_close()


def _wait_for_values(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        assert process.poll() is None, log.read_text()
        try:
            found = httpx.get(f"{address}/api/v1/query", params={"query": "up == 1"}, timeout=5, trust_env=False).json()
            if found["data"]["result"]:
                return
        except (httpx.TransportError, ValueError, KeyError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"no values within a minute: {log.read_text()}")
