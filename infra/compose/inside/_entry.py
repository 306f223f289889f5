"""How an entry point of the stack logs and ends: JSON lines; a known error is one, and the engine starts it again."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from har import logs
from har.errors import HarError

STATUS_OF_AN_ERROR = 1

_PREFECT_LOGGING = Path(__file__).resolve().parents[3] / "flows" / "logging.yml"


def run(main: Callable[[], None]) -> None:
    """Call `main`, and end this process with a line for a known error.

    Raises:
        SystemExit: after such an error.
    """
    if logs.wants_json():
        os.environ.setdefault(logs.VARIABLE, "json")
        os.environ.setdefault("PREFECT_LOGGING_SETTINGS_PATH", str(_PREFECT_LOGGING))
        logs.start(service=os.environ.get("HOSTNAME"))
    try:
        main()
    except HarError as error:
        logging.getLogger("har.stack").error("%s: %s", type(error).__name__, error)
        raise SystemExit(STATUS_OF_AN_ERROR) from error
