"""Log lines as JSON objects, one a line: what services, flows and servers write where no terminal shows it.

| key | what |
|---|---|
| `time` | ISO 8601 in UTC, to the microsecond |
| `level` | DEBUG, INFO, WARNING, ERROR or CRITICAL |
| `logger` | of Python's `logging`; `stdout` or `stderr` for text that a program printed |
| `message` | the text; it may hold newlines |
| `service` | which process: online, batch, worker, … |
| `request_id` | of the request that the line is about, as the proxy, the prediction log and the lake have it |
| `subject` | of that request, or its pseudonym (setting `logs.subjects`) |
| `model_version` | that answered it |
| `flow_run_id`, `flow_run_name` | of the Prefect run in which the line was written |
| `error` | a traceback |

Keys that do not apply are left out; a line may have further ones, such as `path`, `status` and `ms` of a request. Only
the standard library is imported here, and nothing of `har`: services, containers and `infra.local.child` use this file.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime as dt
import functools
import hashlib
import hmac
import io
import json
import logging
import os
import re
import secrets
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

VARIABLE = "STACK_LOGS"
"""`json` or `text`: set by whoever starts a process and knows where its output goes; no setting, so that a bento of an
older release takes it, too."""

_OF_RECORDS = (
    "request_id",
    "subject",
    "model_version",
    "flow_run_id",
    "flow_run_name",
    "task_run_name",
    "status",
    "ms",
)
"""Attributes of a record, as `extra` sets them, that become keys."""
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SAID_LEVEL = re.compile(r"\[?(?:level=)?(debug|notice|warn|alert|emerg|error|critical)", re.IGNORECASE)
_LEVELS = {"debug": "DEBUG", "notice": "INFO", "warn": "WARNING", "error": "ERROR"}
"""Of printed lines that begin with a level, as those of HAProxy do; other words of the pattern mean CRITICAL."""
_PSEUDONYM_CHARACTERS = 12
_LEAST_KEY_BYTES = 16

_bound: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar("har_logs", default={})  # noqa: B039  never changed
_of_process: dict[str, Any] = {}
_providers: list[Callable[[], Mapping[str, Any]]] = []


def wants_json(wanted: str = "auto", stream: TextIO | None = None) -> bool:
    """Whether a process should write JSON.

    Args:
        wanted: the setting `logs.format`: json, text or auto.
        stream: where it writes; by default the standard output. With auto, a terminal gets text.
    """
    if wanted == "auto":
        wanted = os.environ.get(VARIABLE, "auto")
    if wanted in ("json", "text"):
        return wanted == "json"
    shown = sys.stdout if stream is None else stream
    return not (shown is not None and shown.isatty())


def start(*, level: int | str = logging.WARNING, **fields: Any) -> None:
    """From now on, all that this process logs or prints is JSON, tracebacks and warnings included.

    Loggers keep their handlers and levels; those that have none use the root's.

    Args:
        level: of the root logger, where it has no handler yet.
        fields: keys that every line gets, such as `service="online"`.
    """
    _of_process.update({name: value for name, value in fields.items() if value is not None})
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler(sys.__stderr__))
        root.setLevel(level)
    use_formatter()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not getattr(stream, "writes_json_lines", False):
            setattr(sys, name, Lines(stream, name))
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def use_formatter() -> None:
    """Let every handler that writes to a standard stream write JSON; again after somebody has set up handlers."""
    streams = [sys.__stdout__, sys.__stderr__, sys.stdout, sys.stderr]
    known = [logging.getLogger(), *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    for logger in known:
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and any(handler.stream is stream for stream in streams):
                handler.setFormatter(Formatter())


def bind(**fields: Any) -> contextvars.Token[Mapping[str, Any]]:
    """Add keys to the lines of this task or thread from now on; `unbind` takes them back."""
    return _bound.set({**_bound.get(), **fields})


def unbind(token: contextvars.Token[Mapping[str, Any]]) -> None:
    """Take back what `bind` added."""
    _bound.reset(token)


def provide(fields: Callable[[], Mapping[str, Any]]) -> None:
    """Ask this function for further keys of every line, such as the run in which it is written."""
    if fields not in _providers:
        _providers.append(fields)


class Formatter(logging.Formatter):
    """Formats a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # arguments that do not fit the text must not cost the line
            message = f"{record.msg} {record.args}"
        found = {name: value for name in _OF_RECORDS if (value := getattr(record, name, None)) not in (None, "")}
        found.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            found["error"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        elif record.exc_text:
            found["error"] = record.exc_text
        if record.stack_info:
            found["stack"] = record.stack_info
        return line(message, level=record.levelname, logger=record.name, created=record.created, **found)


def line(message: str, *, level: str = "INFO", logger: str = "har", created: float | None = None, **fields: Any) -> str:
    """A log line, without a newline at its end; `fields` win over those that are bound."""
    moment = dt.datetime.now(dt.UTC) if created is None else dt.datetime.fromtimestamp(created, dt.UTC)
    values: dict[str, Any] = {
        "time": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "level": level,
        "logger": logger,
        "message": message,
        **_of_process,
    }
    for provider in _providers:
        try:
            values.update(provider())
        except Exception as error:  # noqa: BLE001  a line without its run is better than none
            values["no_run"] = f"{type(error).__name__}: {error}"
    values.update(_bound.get())
    values.update(fields)
    return json.dumps(values, ensure_ascii=False, default=str, separators=(", ", ": "))


def append(file: Path, message: str, **fields: Any) -> None:
    """Append a line to a log file that this process writes besides its own output."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(line(message, **fields) + "\n")


class Lines(io.TextIOBase):
    """A standard stream that turns what is printed into JSON lines; JSON objects pass as they are.

    Args:
        stream: to write to.
        name: the logger's name of printed lines.
    """

    writes_json_lines = True

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._logger = stream, name
        self._begun = threading.local()

    def write(self, text: str) -> int:
        """Write the lines that are complete; each thread has a begun line of its own."""
        *whole, self._begun.text = (getattr(self._begun, "text", "") + text).split("\n")
        if whole:
            self._stream.write("".join(f"{made}\n" for one in whole if (made := self._line(one))))
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Write out what is complete; a begun line waits for its end."""
        with contextlib.suppress(ValueError):  # closed already, at the interpreter's end
            self._stream.flush()

    def _line(self, text: str) -> str:
        # A progress bar overwrites itself; what it showed last counts.
        text = _COLOURS.sub("", text).rstrip().rpartition("\r")[2]
        if not text or (text.startswith("{") and text.endswith("}") and _is_line(text)):
            return text
        said = _SAID_LEVEL.match(text)
        level = _LEVELS.get(said[1].lower(), "CRITICAL") if said else "INFO"
        return line(text, logger=self._logger, level=level)

    def fileno(self) -> int:
        """Of the stream, which processes that are started inherit."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether a terminal shows it."""
        return self._stream.isatty()

    def writable(self) -> bool:
        """It is."""
        return True

    def reconfigure(self, **_options: Any) -> None:
        """Every line is written at once, whatever is asked for."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream."""
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """How the stream treats what it cannot encode."""
        return self._stream.errors

    @property
    def buffer(self) -> Any:
        """The stream's, for bytes."""
        return self._stream.buffer


def readable(text: str) -> str:
    """Log lines as people read them; lines that are no JSON stay as they are.

    Args:
        text: lines of a log file.
    """
    return "\n".join(map(_readable, text.splitlines()))


def _readable(text: str) -> str:
    found = parse(text)
    if found is None:
        return text
    head = "" if found["logger"] in ("stdout", "stderr") else f"{found['time']} {found['level']} {found['logger']}: "
    known = ("time", "level", "logger", "message", "error", "stack", "service")
    rest = " ".join(f"{name}={value}" for name, value in found.items() if name not in known)
    parts = [f"{head}{found['message']}{f' [{rest}]' if rest else ''}", found.get("error"), found.get("stack")]
    return "\n".join(str(part) for part in parts if part)


def parse(text: str) -> dict[str, Any] | None:
    """The object of a log line; None: it is not one of ours."""
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"time", "level", "logger", "message"} <= found.keys() else None


def _is_line(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


class Pseudonyms:
    """Names of subjects for log lines: a keyed hash, so that nobody without the key can tell who is meant.

    The pseudonym is the start of HMAC-SHA256 (RFC 2104), key and name as bytes, in hexadecimal digits. The same key
    gives the same pseudonym in every process and on every day, so that lines about one subject can be found.

    Args:
        key_file: made with a random key if it is absent, readable by its owner alone.
    """

    def __init__(self, key_file: Path) -> None:
        self._file = key_file
        self._of = functools.lru_cache(maxsize=4096)(self._compute)

    def __call__(self, subject: str) -> str:
        """The pseudonym of a subject, such as `p-5f2c9a01b3de`.

        Raises:
            OSError: the key can be neither read nor made.
            ValueError: the file holds no key.
        """
        return self._of(subject)

    @functools.cached_property
    def _key(self) -> bytes:
        key = _key_in(self._file)
        if len(key) < _LEAST_KEY_BYTES:
            raise ValueError(f"{self._file}: expected a key of {_LEAST_KEY_BYTES} bytes or more, but got {len(key)}")
        return key

    def _compute(self, subject: str) -> str:
        digest = hmac.new(self._key, subject.encode(), hashlib.sha256).hexdigest()
        return f"p-{digest[:_PSEUDONYM_CHARACTERS]}"


def subject_names(kind: str, key_file: Path) -> Callable[[str], str | None]:
    """How log lines name subjects.

    Args:
        kind: the setting `logs.subjects`: plain, pseudonym or none.
        key_file: of the pseudonyms.
    """
    if kind == "plain":
        return lambda subject: subject
    if kind == "none":
        return lambda subject: None
    pseudonyms = Pseudonyms(key_file)
    try:
        pseudonyms("any")
    except (OSError, ValueError) as error:
        logging.getLogger("bentoml.har.logs").warning("log lines name no subjects: no key for pseudonyms: %s", error)
        return lambda subject: None
    return pseudonyms


def _key_in(path: Path) -> bytes:
    """The key in a file, which is made if there is none; all processes get the same."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes().strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, secrets.token_hex(32).encode() + b"\n")
    finally:
        os.close(file)
    try:
        os.link(draft, path)
    except FileExistsError:  # another process was faster
        pass
    finally:
        draft.unlink(missing_ok=True)
    return path.read_bytes().strip()


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("uncaught").critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not issubclass(arguments.exc_type, SystemExit):
        where = arguments.thread.name if arguments.thread else "a thread"
        exact = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
        logging.getLogger("uncaught").critical("%s in %s", arguments.exc_type.__name__, where, exc_info=exact)


@contextlib.contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Add keys to the lines of this block."""
    token = bind(**fields)
    try:
        yield
    finally:
        unbind(token)
