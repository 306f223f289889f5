"""What the command `bentoml` does more in a project."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.bentoml.command import refuse_taken_port


def test_a_taken_port_ends_bentoml_serve_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ways = [
            (["serve", "--port", port], {}),
            (["serve", ".", "-p", port, "--host=127.0.0.1"], {}),
            (["serve", f"--port={port}"], {"BENTOML_PORT": "0"}),
            (["serve"], {"BENTOML_PORT": port}),
        ]
        for arguments, variables in ways:
            with pytest.raises(SystemExit, match=rf"port {port} of 127.0.0.1: .*bentoml serve --port"):
                refuse_taken_port(arguments, variables)
        with pytest.raises(SystemExit, match="port 99999"):
            refuse_taken_port(["serve", "--port", "99999"], {})
        for arguments in (["serve", "-p", port, "--help"], ["models", "list"], ["build", "--port", port], []):
            refuse_taken_port(arguments, {})
    refuse_taken_port(["serve", "--port", port], {})


@pytest.mark.parametrize(
    ("verb", "set_before", "found"), [("containerize", "", "docker"), ("containerize", "oci", "oci"), ("list", "", "")]
)
def test_images_of_podman_and_buildah_keep_their_health_check(
    verb: str, set_before: str, found: str, tmp_path: Path
) -> None:
    code = f"import os, sys; sys.argv = ['bentoml', {verb!r}]; import infra.bentoml.command; "
    code += "print(os.environ.get('BUILDAH_FORMAT', ''))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "BUILDAH_FORMAT": set_before}
    if not set_before:
        del environment["BUILDAH_FORMAT"]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == found


def test_bentoml_serve_says_that_it_stopped(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['bentoml', 'serve', '-p', '0']; import infra.bentoml.command"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr.endswith("Stopped: bentoml serve.\n")
