"""How a command ends: a message for people, a status for scripts, and the traceback in a file for developers.

| status | meaning |
|---|---|
| 0 | done |
| 1 | the command ran, and its result is bad: figures not reproduced, a part of the stack stopped by itself |
| 2 | refused: wrong options, settings, data, or a state in which the command cannot work; the message has the way out |
| 3 | done in part: some of the input was set aside or left out; the last line says how much |
| 4 | unexpected: a fault of the program; the message names the file with the traceback |
| 130, 143 | ended by Ctrl-C, by SIGTERM |
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from har.errors import HarError, reason

REFUSED, UNEXPECTED, INTERRUPTED = 2, 4, 130

_SHOW = "--traceback"
_REMEDIES = {
    errno.ENOSPC: "Free space on that disk, then run the same command again.",
    errno.EDQUOT: "Free space in your quota, then run the same command again.",
    errno.EROFS: "The disk is mounted read-only: mount it writable, or set another folder in har.toml.",
    errno.EACCES: "Grant access to it, or run the command as its owner.",
    errno.EPERM: "Grant access to it, or run the command as its owner.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), then run the same command again.",
}


@contextlib.contextmanager
def ending_well(command: str) -> Iterator[None]:
    """End the process with a message and a status where the block raises; `command` is its name in messages.

    Raises:
        SystemExit: always where the block fails.
    """
    try:
        yield
    except HarError as error:
        _say(f"[red]{type(error).__name__}[/]: ", str(error))
        _show_if_asked()
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        _stopped(command)
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _stopped(command)
        raise
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has seen enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001  the last resort
        if isinstance(error, OSError) and error.errno in _REMEDIES:
            _say(
                f"[red]{command}[/]: ",
                f"{error.filename or 'a folder of [paths] in har.toml'}: {reason(error)}. {_REMEDIES[error.errno]}",
            )
            _show_if_asked()
            sys.exit(REFUSED)
        _unexpected(command, error)
        sys.exit(UNEXPECTED)


def _say(red: str, text: str) -> None:
    from rich.console import Console

    console = Console(stderr=True)
    console.print(red, end="", highlight=False)
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _stopped(command: str) -> None:
    _say("", f"Stopped: {command}. What it finished is kept; the same command again goes on from there.")


def _show_if_asked() -> bool:
    import traceback

    if _SHOW in sys.argv[1:]:
        traceback.print_exc()
        return True
    return False


def _unexpected(command: str, error: Exception) -> None:
    import traceback

    text = f"unexpected {type(error).__name__}: {reason(error)}. This is a fault of the program or of its environment"
    if _show_if_asked():
        _say(f"[red]{command}[/]: ", f"{text}. Please report it with the lines above.")
        return
    try:
        path = _write(f"{' '.join(sys.argv)}\n\n{traceback.format_exc()}")
    except OSError as refused:
        traceback.print_exc()
        _say(f"[red]{command}[/]: ", f"{text}; no file could be written for the traceback above ({reason(refused)}).")
        return
    again = f"`har {_SHOW} {' '.join(sys.argv[1:2])} …`"
    _say(f"[red]{command}[/]: ", f"{text}; {again} shows where. Please report it with this file: {path}")


def _write(content: str) -> Path:
    """Write the traceback where only its owner can read it: below the project's `runs/`, else a temporary folder."""
    import tempfile
    import time

    from har.files import write_atomically
    from har.settings import load_settings

    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        return write_atomically(load_settings().root / "runs" / "errors" / name, content, private=True)
    except (HarError, OSError):
        return write_atomically(Path(tempfile.mkdtemp(prefix="har-error-")) / name, content, private=True)
