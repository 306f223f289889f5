"""Where a server of the stack takes requests: a socket that its parent bound, or an address of its own."""

from __future__ import annotations

import argparse
import socket


def add_door(parser: argparse.ArgumentParser) -> None:
    """Add the options --socket, --bind and --port."""
    parser.add_argument("--socket", type=int, help="file descriptor of a listening socket")
    parser.add_argument("--bind", default="127.0.0.1", help="without --socket: the address to listen on")
    parser.add_argument("--port", type=int, default=0, help="without --socket: the port")


def door(options: argparse.Namespace) -> socket.socket:
    """The listening socket that the options name.

    Raises:
        OSError: the address is in use, or is none of this machine.
    """
    if options.socket is not None:
        # The parent has bound it, so that no other process can take the port meanwhile.
        return socket.socket(fileno=options.socket)
    return socket.create_server((options.bind, options.port), backlog=128)
