"""The proxy's runtime socket."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from infra.serving.proxy import Runtime, Split


def test_a_socket_below_a_long_path_answers(tmp_path: Path) -> None:
    """As that of a stack, which another name space has made: an address has 107 characters at most."""
    folder = tmp_path / ("deep" * 40)
    folder.mkdir()
    number = os.open(folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(f"/proc/self/fd/{number}/proxy.sock")
        listening.listen(1)
        heard = []

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(connection.recv(1000))

        thread = threading.Thread(target=answer)
        thread.start()
        Runtime.at(folder / "proxy.sock").split(Split(salt="v2-1"))
        thread.join(10)
    os.close(number)
    assert heard == [b"set map split.map split 0|0|v2-1|blue|-|-\n"]
