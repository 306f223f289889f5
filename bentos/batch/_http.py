"""Read requests of the batch service: an upload to a file on disk, or the path of a mounted table; refusals as JSON.

BentoML's own file fields would read a whole upload into memory, and fetch one that is given as a URL.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from har.errors import HarError, LakeError, RecordingError, RequestError
from har.settings import Settings

FIELD = "samples"
IDLE_S = 20.0
"""Longest wait for the next piece of a body."""
PACE = 16 * 1024
"""Bytes per second that a body has on average, after `IDLE_S`: a slow or silent sender does not hold its place."""
_LARGEST_JSON = 65_536


async def receive(request: Request, folder: Path) -> Path:
    """Stream the uploaded file into `folder`.

    A form (`curl -F samples=@day.parquet`) holds it in the field `samples`; any other body (`curl --data-binary
    @day.parquet`) is the file.

    Raises:
        RequestError: the body is compressed or too slow, or the form cannot be read, or has no such field.
        LakeError: the file cannot be written.
    """
    _require_plain(request)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    try:
        if kind == b"multipart/form-data":
            return await _form(request, folder, options.get(b"boundary"))
        path = folder / FIELD
        with path.open("wb") as file:
            async for piece in _pieces(request):
                file.write(piece)
        return path
    except ClientDisconnect as error:
        raise RequestError(
            where=FIELD, expected="the whole file", got="a closed connection", remedy="Send it again.", status=400
        ) from error
    except OSError as error:
        raise LakeError(
            where=FIELD,
            expected="room for the upload in the folder for temporary files (TMPDIR)",
            got=error.strerror or str(error),
            remedy="Give the service more disk, or mount the samples as a Delta table: POST /score/table.",
        ) from error


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body, as long as it keeps coming."""
    stream = request.stream()
    began, received = time.monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(IDLE_S):
                piece = await anext(stream, None)
        except TimeoutError as error:
            raise _too_slow(f"nothing for {IDLE_S:g} s after {received} bytes") from error
        if piece is None:
            return
        received += len(piece)
        took = time.monotonic() - began
        if received < PACE * (took - IDLE_S):
            raise _too_slow(f"{received} bytes in {took:.0f} s")
        yield piece


def _too_slow(got: str) -> RequestError:
    return RequestError(
        where="body",
        expected=f"a piece every {IDLE_S:g} s, and {PACE // 1024} KiB per second",
        got=got,
        remedy="Send the file from a faster connection, or mount the samples as a Delta table: POST /score/table.",
        status=408,
    )


def _require_plain(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise RequestError(
            where="Content-Encoding",
            expected="an uncompressed body",
            got=encoding[:80],
            remedy="Send it as it is: Parquet is compressed already.",
            status=415,
        )


async def _form(request: Request, folder: Path, boundary: bytes | None) -> Path:
    found: dict[str, File] = {}
    fields: list[str] = []

    def on_file(file: File) -> None:
        name = (file.field_name or b"").decode(errors="replace")
        fields.append(name)
        if name == FIELD and name not in found:
            found[name] = file
        else:
            file.close()

    try:
        parser = FormParser(
            "multipart/form-data",
            on_field=lambda field: fields.append((field.field_name or b"").decode(errors="replace")),
            on_file=on_file,
            boundary=boundary,
            config={
                "UPLOAD_DIR": str(folder),
                "UPLOAD_DELETE_TMP": False,
                "MAX_MEMORY_FILE_SIZE": 0,
                "MAX_FIELDS": 16,
                "MAX_FIELD_SIZE": _LARGEST_JSON,
            },
        )
        async for piece in _pieces(request):
            parser.write(piece)
        parser.finalize()
    except FormParserError as error:
        raise _not_a_form(str(error)) from error
    if FIELD not in found:
        got = f"the fields {', '.join(map(repr, fields))} without a file of that name" if fields else "no whole field"
        raise _not_a_form(got)
    file = found[FIELD]
    file.close()
    name = file.actual_file_name
    if name is None:  # the parser keeps an empty file in memory only
        empty = folder / FIELD
        empty.touch()
        return empty
    return Path(name.decode())


def _not_a_form(got: str) -> RequestError:
    return RequestError(
        where=FIELD,
        expected="a form with one file in the field 'samples'",
        got=got,
        remedy="Send it with: curl -F samples=@day.parquet.",
        status=400,
    )


async def read_table_request(request: Request) -> tuple[str, dt.date | None]:
    """Path and date of the JSON `{"path": "samples", "date": "2024-01-31" or null}`.

    Raises:
        RequestError: the body is compressed, or a field is missing, unknown or of another type.
    """
    _require_plain(request)
    body = b""
    async for piece in _pieces(request):
        body += piece
        if len(body) > _LARGEST_JSON:
            raise RequestError(
                where="body",
                expected=f"at most {_LARGEST_JSON} bytes of JSON",
                got="more",
                remedy='Send {"path": "samples"}; files are sent to /score.',
                status=413,
            )
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad("body", "JSON", f"{str(error)[:200] or 'none'}", status=400) from error
    if not isinstance(values, dict):
        raise _bad("body", "a JSON object", type(values).__name__)
    unknown = sorted(set(values) - {"path", "date"})
    if unknown:
        raise _bad(unknown[0][:100], "only the fields path and date", f"the field {unknown[0][:100]!r}")
    path, date = values.get("path"), values.get("date")
    if not isinstance(path, str) or not path:
        raise _bad("path", "the folder of a Delta table, relative to the mounted one", repr(path)[:100])
    if date is not None:
        try:
            date = dt.datetime.strptime(date, "%Y-%m-%d").date()
        except (TypeError, ValueError) as error:
            raise _bad("date", "a date such as 2024-01-31, or null for all", repr(date)[:100]) from error
    return path, date


def _bad(field: str, expected: str, got: str, *, status: int = 422) -> RequestError:
    remedy = 'Send {"path": "samples", "date": "2024-01-31"}; the date may be left out.'
    return RequestError(where=field, expected=expected, got=got, remedy=remedy, status=status)


def data_folder(settings: Settings) -> Path:
    """The folder that mounted tables are in: HAR_DATA, or the project's lake.

    Raises:
        RequestError: there is no HAR_DATA, and the lake is on object storage, which this box does not reach.
    """
    mounted = os.environ.get("HAR_DATA")
    lake = settings.location("lake")
    if not mounted and not lake.is_local:
        raise RequestError(
            where="path",
            expected="a folder with tables that is mounted here (HAR_DATA)",
            got=f"none, and the lake is at {lake}",
            remedy="Send the samples as a Parquet file: POST /score; or score the lake where it is: har score.",
            status=404,
        )
    return Path(mounted or lake.local)


def inside(root: Path, path: str) -> Path:
    """The folder `path` under `root`, resolved.

    Raises:
        RequestError: the path is absolute, leads out of `root` by `..` or a symbolic link, or does not exist.
    """
    remedy = "Name a table by its path below the folder that is mounted (HAR_DATA)."
    if Path(path).is_absolute() or ".." in Path(path).parts or "\\" in path or not path.isprintable():
        raise RequestError(
            where="path", expected="a relative path without '..'", got=repr(path)[:200], remedy=remedy, status=403
        )
    try:
        found = (root / path).resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise RequestError(
            where="path", expected="a Delta table", got=f"nothing at {path[:200]!r}", remedy=remedy, status=404
        ) from error
    if not found.is_relative_to(root.resolve()):
        raise RequestError(
            where="path",
            expected="a folder inside the mounted one",
            got=f"{path[:200]!r}, a link that leads out of it",
            remedy=remedy,
            status=403,
        )
    return found


def refusal(error: HarError) -> JSONResponse:
    """The response for an error: status 4xx, or 507 where the disk is full."""
    field, _, _ = error.where.partition(", row ")
    content: dict[str, Any] = {
        "field": field or FIELD,
        "expected": error.expected,
        "got": error.got,
        "remedy": error.remedy,
    }
    if isinstance(error, RecordingError) and error.line:
        content["row"] = error.line
    status = getattr(error, "status", 507 if isinstance(error, LakeError) else 422)
    return JSONResponse({"error": content}, status_code=status)
