"""The files of the pages for people: shipped with the service, loaded from nowhere else, the same without a network."""

from __future__ import annotations

import functools
from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[1] / "pages"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
FILES = (
    "live.html",
    "live.css",
    *("live.js", "access.js", "band.js", "colours.js", "ledger.js", "signal.js", "subject.js", "table.js"),
)
"""Of the page `/live`; all but the first are at `/pages/NAME`."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a browser may load and do on these pages; the proxy's own policy holds beside it."""
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


@functools.cache
def content(name: str) -> tuple[bytes, str]:
    """A file of `FILES` and its media type."""
    path = _FOLDER / name
    return path.read_bytes(), f"{_TYPES[path.suffix]}; charset=utf-8"
