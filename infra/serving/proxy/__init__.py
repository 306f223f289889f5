"""HAProxy in front of the online service: its configuration, its runtime socket, and which version serves whom."""

from infra.serving.proxy._rules import Rules, guarded
from infra.serving.proxy._tls import tls_bind
from infra.serving.proxy.configuration import Options, configuration
from infra.serving.proxy.socket import Runtime, Server
from infra.serving.proxy.split import BACKENDS, Backend, Split, other

__all__ = [
    "BACKENDS",
    "Backend",
    "Options",
    "Rules",
    "Runtime",
    "Server",
    "Split",
    "configuration",
    "guarded",
    "other",
    "tls_bind",
]
