"""The built batch bento over HTTP, as partners use it: uploads, mounted tables, refusals, load."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import shutil
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import psutil
import pytest
from batch_support import parquet, recording, spoiled
from starlette.requests import Request

from bentos.batch import _http
from har.errors import RequestError
from har.settings import Settings
from infra.bentoml.store import serving

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]
Expected = Callable[[pl.DataFrame], pl.DataFrame]


def body(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def predictions(answer: httpx.Response) -> pl.DataFrame:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert answer.headers["x-model-version"] == "7"
    return pl.read_parquet(BytesIO(answer.content))


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert {"field", "expected", "got", "remedy"} <= set(error)
    assert "Traceback" not in answer.text
    return error


def test_an_upload_gives_what_scoring_in_the_process_gives(
    client: httpx.Client, samples: pl.DataFrame, expected: Expected
) -> None:
    content = body(samples)
    wanted = expected(samples)
    assert predictions(client.post("/score", files={"samples": ("day.parquet", content)})).equals(wanted)
    assert predictions(client.post("/score", content=content)).equals(wanted)
    like_curl = {"content-type": "application/x-www-form-urlencoded"}
    assert predictions(client.post("/score", content=content, headers=like_curl)).equals(wanted)


def test_curl(client: httpx.Client, samples: pl.DataFrame, expected: Expected, tmp_path: Path) -> None:
    path, target = parquet(samples, tmp_path / "day.parquet"), tmp_path / "predictions.parquet"
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    command = ["curl", "-sS", "--fail", "-F", f"samples=@{path}", "-o", str(target), f"{client.base_url}/score"]
    subprocess.run(command, check=True)
    assert pl.read_parquet(target).equals(expected(samples))


def test_a_mounted_table(client: httpx.Client, samples: pl.DataFrame, expected: Expected) -> None:
    wanted = expected(samples)
    for path in ("samples", "./samples/", "way-in"):
        assert predictions(client.post("/score/table", json={"path": path})).equals(wanted)
    one = predictions(client.post("/score/table", json={"path": "samples", "date": "2024-01-02"}))
    assert one.equals(wanted.filter(pl.col("date") == pl.date(2024, 1, 2)))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *((path, 403) for path in ("../src", "samples/../../src", "/etc", "..", "a\\b", "a\0b", "way-out")),
        *((path, 404) for path in ("nothing", "x" * 5000, "way-out/nothing")),
        *((path, 422) for path in ("", None, 1, ["samples"], ".")),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_no_way_out_of_the_mounted_folder(client: httpx.Client, path: object, status: int) -> None:
    assert refused(client.post("/score/table", json={"path": path}), status)["field"] == "path"


@pytest.mark.parametrize(
    ("content", "field", "status"),
    [
        (b"", "body", 400),
        (b"{", "body", 400),
        (b"[" * 60_000, "body", 400),
        (b"\xff\xfe", "body", 400),
        (b"[]", "body", 422),
        (b"{}", "path", 422),
        (b'{"path": "samples", "day": 1}', "day", 422),
        (b'{"path": "samples", "date": 20240101}', "date", 422),
        (b'{"path": "samples", "date": "2024-02-30"}', "date", 422),
        (b'{"path": "samples", "date": "1999-01-01"}', "samples", 422),
        (b" " * 70_000, "body", 413),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_json_that_is_none(client: httpx.Client, content: bytes, field: str, status: int) -> None:
    assert refused(client.post("/score/table", content=content), status)["field"] == field


def test_a_bad_file_is_refused_by_column_and_row(client: httpx.Client, samples: pl.DataFrame) -> None:
    error = refused(client.post("/score", content=body(spoiled(samples, 700, "gyro_x", float("nan")))), 422)
    assert (error["field"], error["row"], error["got"]) == ("gyro_x", 701, "nan")
    error = refused(client.post("/score", content=body(samples.drop("accel_y"))), 422)
    assert (error["field"], error["expected"]) == ("accel_y", "a column 'accel_y'")
    for content in (b"", b"date,subject\n", body(samples)[:-9]):
        assert refused(client.post("/score", content=content), 422)["field"] == "samples"
        assert refused(client.post("/score", files={"samples": ("x", content)}), 422)["field"] == "samples"


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"content-type": "multipart/form-data"}, b"x"),
        ({"content-type": "multipart/form-data; boundary=b"}, b""),
        ({"content-type": "multipart/form-data; boundary=b"}, b"--b\r\nnonsense"),
        ({"content-type": "multipart/form-data; boundary=b"}, b"--b--\r\n"),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="samples"\r\n\r\nhttp://127.0.0.1/\r\n--b--\r\n',
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="other"; filename="x"\r\n\r\nx\r\n--b--\r\n',
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="samples"; filename="x"\r\n\r\ncut short',
        ),
    ],
)
def test_a_form_that_is_none(client: httpx.Client, headers: dict[str, str], content: bytes) -> None:
    assert refused(client.post("/score", content=content, headers=headers), 400)["field"] == "samples"


def test_a_foreign_host_or_origin_is_refused_on_every_path(client: httpx.Client) -> None:
    for path in ("/", "/model", "/metrics", "/schema.json", "/score", "/nothing"):
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            assert client.get(path, headers=headers).status_code == 403
    assert client.get("/model", headers={"Origin": str(client.base_url).rstrip("/")}).status_code == 200


def test_a_file_that_would_decode_to_gigabytes_is_refused(
    client: httpx.Client, batch_settings: Settings, tmp_path: Path
) -> None:
    zeros = pl.repeat(0.0, 6_000_000, dtype=pl.Float64, eager=True)
    frame = pl.select(pl.repeat("s", len(zeros)).alias("subject")).with_columns(
        pl.col("subject").alias("session"),
        pl.repeat(dt.datetime(2024, 1, 1), len(zeros)).alias("time"),
        *(zeros.alias(name) for name in batch_settings.sensors.channels),
    )
    frame.write_parquet(tmp_path / "bomb.parquet", row_group_size=len(zeros))
    content = (tmp_path / "bomb.parquet").read_bytes()
    assert len(content) < 1_000_000
    response = client.post("/score", content=content, headers={"content-type": "application/vnd.apache.parquet"})
    assert refused(response, 422)["expected"] == "at most 256 MiB when decoded"


def test_a_compressed_body_is_refused(client: httpx.Client) -> None:
    for path in ("/score", "/score/table"):
        response = client.post(path, content=gzip.compress(bytes(1000)), headers={"content-encoding": "gzip"})
        assert refused(response, 415)["field"] == "Content-Encoding"


def test_idle_uploads_keep_nobody_out(client: httpx.Client, samples: pl.DataFrame, expected: Expected) -> None:
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nPAR1"
    with ExitStack() as stack:
        for _ in range(40):
            connection = socket.create_connection((client.base_url.host, client.base_url.port), timeout=10)
            stack.enter_context(connection).sendall(head)
        assert predictions(client.post("/score", content=body(samples))).equals(expected(samples))


@pytest.mark.parametrize("pace_s", [None, 0.05], ids=["silent", "trickling"])
def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pace_s: float) -> None:
    monkeypatch.setattr(_http, "IDLE_S", 0.2)

    async def more() -> dict[str, Any]:
        await asyncio.sleep(pace_s or 60)
        return {"type": "http.request", "body": b"x", "more_body": True}

    request = Request({"type": "http", "method": "POST", "headers": [(b"content-type", b"x/y")]}, more)
    with pytest.raises(RequestError, match="a piece every") as caught:
        asyncio.run(asyncio.wait_for(_http.receive(request, tmp_path), 10))
    assert caught.value.status == 408


def test_an_unknown_path_leaves_no_metrics(client: httpx.Client) -> None:
    before = len(client.get("/metrics").text.splitlines())
    for number in range(30):
        assert client.post(f"/score/{number}").status_code == 404
    assert len(client.get("/metrics").text.splitlines()) == before


def test_no_pickle(client: httpx.Client) -> None:
    answer = client.post("/score", content=b"x", headers={"content-type": "application/vnd.bentoml+pickle"})
    assert answer.status_code == 415


def test_what_it_says_about_itself(client: httpx.Client, batch_settings: Settings) -> None:
    model = client.get("/model").json()
    assert "googletagmanager" not in client.get("/").text
    assert (model["version"], model["length"], model["stride"]) == (7, batch_settings.length, batch_settings.stride)
    assert model["channels"] == list(batch_settings.sensors.channels)
    for page in ("/livez", "/readyz", "/metrics"):
        assert client.get(page).status_code == 200
    paths = client.get("/docs.json").json()["paths"]
    assert "multipart/form-data" in paths["/score"]["post"]["requestBody"]["content"]
    assert "date" in str(paths["/score/table"]["post"]) or "TableRequest" in str(paths["/score/table"]["post"])


def test_many_at_once_are_answered_or_sent_away(
    client: httpx.Client, batch_settings: Settings, expected: Expected
) -> None:
    day = recording(batch_settings, "2024-01-01", "a", "x", count=20_000)
    content, wanted = body(day), expected(day)

    def ask(_: int) -> httpx.Response:
        return client.post("/score", content=content)

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(ask, range(24)))
    assert {answer.status_code for answer in answers} <= {200, 429}
    served = [predictions(answer) for answer in answers if answer.status_code == 200]
    assert len(served) >= 8
    assert all(found.equals(wanted) for found in served)
    # On a new connection: the server may just be closing one that was idle.
    assert httpx.get(client.base_url.join("/livez"), trust_env=False, timeout=60).status_code == 200


@pytest.mark.release
def test_memory_does_not_grow_with_the_file(bento: Path, batch_settings: Settings, tmp_path: Path) -> None:
    day = recording(batch_settings, "2024-01-01", "", "x", count=15_625)

    def send(subjects: int) -> None:
        days = [day.with_columns(pl.lit(f"s{number:03}").alias("subject")) for number in range(subjects)]
        path = parquet(pl.concat(days), tmp_path / "days.parquet", row_group_size=125_000)
        with path.open("rb") as file:
            found = predictions(client.post("/score", files={"samples": ("days.parquet", file)}))
        assert found["subject"].n_unique() == subjects

    store = bento.parents[2]
    before = set(psutil.Process().children(recursive=True))
    # A process of its own: what other tests asked for has left its mark on a shared one.
    with (
        serving("test-project-batch:v7", store.parent, store, log=tmp_path / "serve.log") as address,
        httpx.Client(base_url=address, timeout=120, trust_env=False) as client,
    ):
        family = set(psutil.Process().children(recursive=True)) - before
        send(16)
        small = max(_high_water_mark(process.pid) for process in family)
        send(48)
        large = max(_high_water_mark(process.pid) for process in family)
    # Eight million samples more are 600 MB in memory and 200 on disk; what allocators keep varies by 200.
    assert 150_000 < small < large + 1
    assert large - small < 350_000


def _high_water_mark(pid: int) -> int:
    """Peak resident memory in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
