"""What gets into the images: packages, code, and how their list and the known vulnerabilities are told."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from har.errors import PackagingError
from har.settings import Settings
from infra.images import figures
from infra.images.check import chosen_images
from infra.images.loop import lend
from infra.images.sbom import TOOLS, counted, document

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ("src", "flows", "bentos", "infra")
FOR_DEVELOPERS = {
    *("pytest", "hypothesis", "schemathesis", "ruff", "mypy", "import-linter", "mkdocs", "mkdocs-material", "uv"),
    *("coverage", "watchdog"),
}
IN_A_CLUSTER = {"iso8601", "kopf", "kubernetes-asyncio", "prefect-kubernetes", "pyopenssl", "tenacity"}
"""What Prefect's worker needs to start flow runs as Jobs; it would make every start on a machine slower."""


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().split()
    return dict(line.split("==") for line in lines)


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_train_image_has_the_pinned_packages_without_those_of_developers() -> None:
    train, dev = pins("train"), pins("dev")
    assert train.keys() - dev.keys() == IN_A_CLUSTER
    assert {name: train[name] for name in train.keys() - IN_A_CLUSTER}.items() <= dev.items()
    assert train.keys() & FOR_DEVELOPERS == set()
    assert {"torch", "prefect", "mlflow", "bentoml", "whylogs", "psycopg", "asyncpg", "onnxscript"} <= train.keys()
    assert pins("online").items() | pins("batch").items() <= train.items()
    assert not [name for name in train if name.startswith(("cuda-", "nvidia-")) and name != "nvidia-ml-py"]


def imported(path: Path) -> set[str]:
    """The first parts of the modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_whatever_the_projects_code_imports_is_in_the_train_image() -> None:
    tools = {"sbom_document.py", "validate.py"}  # run in .venv/tools
    files = [path for name in SOURCES for path in (ROOT / name).rglob("*.py") if path.name not in tools]
    own = {"har", "har_cli", *SOURCES}
    names = set().union(*map(imported, files)) - own - sys.stdlib_module_names
    distributions = importlib.metadata.packages_distributions()
    there = {plain(name) for name in pins("train")}
    missing = {name for name in names if not there & {plain(one) for one in (name, *distributions.get(name, ()))}}
    assert missing <= {"cuda", "tomli"}, missing


def test_the_batch_box_parses_no_csv_and_writes_no_table() -> None:
    assert pins("batch").keys() & {"deltalake", "pyarrow", "pandas", "pandera", "seglearn", "scikit-learn"} == set()
    manifest = (ROOT / "bentos" / "batch" / "bentofile.yaml").read_text()
    patterns = re.findall(r"^  - /(\S+\.py)", manifest, re.MULTILINE)
    files = [path for pattern in patterns for path in ROOT.glob(pattern) if path.name != "client.py"]
    assert len(files) > 20
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bimport csv\b|(read|scan|write)_csv|write_delta|seglearn|har\.sample\b", text), path


def test_what_the_dockerfile_takes_is_what_the_engine_is_sent() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    assert lines.index("*") < lines.index("!src")
    assert {"src", "flows", "bentos", "infra", "requirements", "har.toml", "prefect.yaml", "pyproject.toml"} <= sent
    assert not sent & {"data", "lake", "tests", ".git", ".venv", ".bentoml", ".prefect", ".stack", "mlruns"}
    for name in sent - {"README.md"}:
        assert (ROOT / name).exists(), name


LISTING = {
    "image": "registry.example.org/a-online",
    "tag": "v1-0",
    "created": "2026-01-02T03:04:05+00:00",
    "labels": {"har.data.version": "samples@7"},
    "system": {"id": "debian", "version": "12"},
    "python": [{"name": "Jinja2", "version": "3.1.6"}, {"name": "torch", "version": "2.13.0+cpu"}],
    "debian": [{"name": "libc6", "version": "2.36-9+deb12u14", "architecture": "amd64"}],
}


def test_the_list_of_an_image_is_a_valid_document_and_always_the_same() -> None:
    if not (TOOLS / "cyclonedx-py").is_file():
        pytest.skip("no CycloneDX library in .venv/tools: make setup")
    text = document(LISTING)
    assert document(json.loads(json.dumps(LISTING))) == text
    told = json.loads(text)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    assert told["metadata"]["component"]["name"] == "registry.example.org/a-online"
    assert {"name": "har.data.version", "value": "samples@7"} in told["metadata"]["component"]["properties"]
    urls = {one["purl"] for one in told["components"] if "purl" in one}
    assert urls == {
        "pkg:pypi/jinja2@3.1.6",
        "pkg:pypi/torch@2.13.0%2Bcpu",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12",
    }


def test_a_list_that_cannot_be_written_is_an_error() -> None:
    if not (TOOLS / "cyclonedx-py").is_file():
        pytest.skip("no CycloneDX library in .venv/tools: make setup")
    with pytest.raises(PackagingError, match=r"SBOM of registry\.example\.org/a-online:v1-0: cannot be written"):
        document({**LISTING, "created": "yesterday"})


def row(name: str, *known: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "version": "1", "vulns": [{"id": one} for one in known], **more}


@pytest.mark.parametrize(
    ("printed", "messages", "reason"),
    [
        ("", "ERROR: no route to host\n", "no route to host"),
        ("No known vulnerabilities found", "", "said: nothing"),
        ('{"dependencies": []}', "", "0 of 2"),
        (json.dumps({"dependencies": [row("a")]}), "", "1 of 2"),
        (json.dumps({"dependencies": [row("a"), {"name": "b", "skip_reason": "not found"}]}), "", "1 of 2"),
    ],
)
def test_a_scanner_that_looked_nothing_up_gives_no_figure(printed: str, messages: str, reason: str) -> None:
    found = counted(printed, messages, 2)
    assert (found["audited"], found["vulnerabilities"]) == (None, None)
    assert reason in found["reason"]


def test_vulnerabilities_are_counted_where_all_was_looked_up() -> None:
    printed = json.dumps({"dependencies": [row("a"), row("b", "CVE-1", "CVE-2")]})
    found = counted(printed, "", 2)
    assert found == {"audited": 2, "vulnerabilities": 2, "findings": ["b 1: CVE-1", "b 1: CVE-2"]}


def test_figures_of_several_commands_come_together(images_project: Settings) -> None:
    with pytest.raises(PackagingError, match="make images"):
        chosen_images(images_project, [])
    figures.add(images_project, {"online_image": "a-online:v1", "online_image_mb": 300.0})
    path = figures.add(images_project, {"online_image_mb": 200.0, "online_image_ready_s": 4.0})
    assert json.loads(path.read_text()) == {
        "online_image": "a-online:v1",
        "online_image_mb": 200.0,
        "online_image_ready_s": 4.0,
    }
    assert chosen_images(images_project, []) == {"online": "a-online:v1"}
    assert chosen_images(images_project, ["batch=r:5000/b:v2"]) == {"batch": "r:5000/b:v2"}
    for words, said in ((["train"], "make images"), (["web=x"], "one of train, online, batch")):
        with pytest.raises(PackagingError, match=said):
            chosen_images(images_project, words)


def test_the_runner_of_tests_is_lent_and_not_in_the_image(tmp_path: Path) -> None:
    lend(tmp_path)
    command = [sys.executable, "-S", "-c", "import sys; sys.path.insert(0, sys.argv[1]); import pytest"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    # pytest itself asks for packages that the image has; it finds its own modules in the folder.
    assert done.returncode == 0 or "packaging" in done.stderr or "pygments" in done.stderr, done.stderr
    assert (tmp_path / "_pytest").is_dir()
    assert not list(tmp_path.rglob("__pycache__"))
