"""The stream's doors in the online service: devices' samples in, subjects' present state and the page `/live` out."""

from bentos.online.stream._pages import FILES
from bentos.online.stream._pages import HEADERS as PAGE_HEADERS
from bentos.online.stream._routes import LivePages
from bentos.online.stream._samples import Samples

__all__ = ["FILES", "PAGE_HEADERS", "LivePages", "Samples"]
