"""The scan of an image's SBOM, with a database that answers, knows nothing, or is not there; pip-audit is real."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from osv_support import Database, osv

from infra.delivery.online import sbom as sbom_step
from infra.delivery.online import scan
from infra.delivery.online._accepted import read_accepted

pytestmark = pytest.mark.stack

PACKAGES = {"numpy": "2.1.0", "onnxruntime": "1.20.0", "PyYAML": "6.0.2"}


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database on a free port, which pip-audit is told to ask."""
    with osv() as found:
        for name, value in found.environment().items():
            monkeypatch.setenv(name, value)
        yield found


def write_sbom(path: Path, packages: dict[str, str], *further: dict[str, Any]) -> Path:
    listed = [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name.lower()}@{version}"}
        for name, version in packages.items()
    ]
    path.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [*listed, *further]}))
    return path


@pytest.fixture
def sbom(project: Path) -> Path:
    """The SBOM of an image, in a project."""
    deb = {"type": "library", "name": "zlib1g", "version": "1.2", "purl": "pkg:deb/debian/zlib1g@1.2"}
    (project / "pyproject.toml").write_text('[project]\nname = "wrist-har"\nversion = "1.0.0"\n')
    own = {"type": "library", "name": "wrist_har", "version": "1.0.0", "purl": "pkg:pypi/wrist-har@1.0.0"}
    return write_sbom(project / "online.cdx.json", PACKAGES, deb, own, {"type": "file", "name": "/etc/os-release"})


def report(project: Path) -> dict[str, Any]:
    content: list[dict[str, Any]] = json.loads((project / "build" / "delivery" / "scan.json").read_text())
    return content[0]


def test_all_packages_are_looked_up(database: Database, sbom: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan.main([str(sbom)]) == 0
    assert {"numpy 2.1.0", "onnxruntime 1.20.0", "pyyaml 6.0.2"} <= set(database.asked)
    assert not any("wrist" in one for one in database.asked)
    found = report(sbom.parent)
    assert (found["audited"], found["vulnerabilities"], found["own"]) == (3, [], ["wrist_har"])
    assert found["not_audited"] == {"deb": 1}
    assert "| online.cdx.json | 3 | 0 | 0 | 1 deb |" in capsys.readouterr().out


def test_a_vulnerable_package_fails(database: Database, sbom: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database.known["pyyaml"] = ["PYSEC-2026-1"]
    assert scan.main([str(sbom)]) == 1
    assert "**pyyaml 6.0.2** PYSEC-2026-1 (online.cdx.json): fixed in 99.1. Reads too much" in capsys.readouterr().out
    assert report(sbom.parent)["vulnerabilities"][0]["aliases"] == ["CVE-PYSEC-2026-1"]


def test_a_database_that_knows_nothing_is_none(
    database: Database, sbom: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.known.clear()
    assert scan.main([str(sbom)]) == 2
    assert "expected those of django 2.0, which has many, but got none" in capsys.readouterr().err
    assert not (sbom.parent / "build").exists()


def test_a_database_that_is_not_reached_is_a_failure(
    database: Database, sbom: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", "http://127.0.0.1:9/v1/query")
    assert scan.main([str(sbom)]) == 2
    said = capsys.readouterr().err
    assert "pip-audit: expected an answer about every package, but got exit status 1" in said
    assert "Connection refused" in said


def test_a_database_that_fails_on_one_package_is_a_failure(
    database: Database, sbom: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.silent_about.add("numpy")
    assert scan.main([str(sbom)]) == 2
    assert "pip-audit: expected an answer about every package" in capsys.readouterr().err


def test_a_package_that_was_not_answered_is_named(
    sbom: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # What pip-audit prints for a package that its service does not know; the others are answered.
    skipped = {"name": "onnxruntime", "skip_reason": "not found on PyPI"}
    answers = [{"name": "numpy", "version": "2.1.0", "vulns": []}, {"name": "pyyaml", "version": "6.0.2", "vulns": []}]
    printed = json.dumps({"dependencies": [*answers, skipped], "fixes": []})
    bad = json.dumps(
        {"dependencies": [{"name": "django", "version": "2.0", "vulns": [{"id": "PYSEC-1"}]}], "fixes": []}
    )

    tools = sbom.parent / "tools" / "bin"
    tools.mkdir(parents=True)
    tool = tools / "pip-audit"
    tool.write_text(f"#!/bin/sh\ngrep -q django \"$2\" && echo '{bad}' || echo '{printed}'\n")
    tool.chmod(0o755)
    monkeypatch.setattr(scan.sys, "prefix", str(sbom.parent))
    assert scan.main([str(sbom)]) == 2
    assert "about each of its 3 Python packages, but got 2; none about onnxruntime 1.20.0" in capsys.readouterr().err
    # "No known vulnerabilities found", exit status 0, and nothing that says what was audited.
    tool.write_text("#!/bin/sh\necho 'No known vulnerabilities found' >&2\n")
    assert scan.main([str(sbom)]) == 2
    assert "exit status 0: No known vulnerabilities found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "expected an SBOM"),
        ('{"bomFormat": "SPDX"}', "bomFormat SPDX"),
        ('{"bomFormat": "CycloneDX"}', "none of 0 components"),
        (
            '{"bomFormat": "CycloneDX", "components": [{"name": "zlib", "purl": "pkg:deb/zlib@1"}]}',
            "none of 1 components",
        ),
        ('{"bomFormat": "CycloneDX", "components": [{"name": "numpy", "purl": "pkg:pypi/numpy"}]}', "its version"),
    ],
)
def test_an_sbom_without_packages_is_no_success(
    project: Path, content: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "bad.json"
    path.write_text(content)
    assert scan.main([str(path)]) == 2
    assert words in capsys.readouterr().err


def write_accepted(project: Path, text: str) -> None:
    (project / "delivery").mkdir(exist_ok=True)
    (project / "delivery" / "vulnerabilities.toml").write_text(text)


ENTRY = '[[accept]]\nid = "CVE-PYSEC-2026-1"\npackage = "PyYAML"\nuntil = {until}\nreason = "Only dump is affected."\n'


def test_an_accepted_vulnerability_counts_again_at_its_end(
    database: Database, sbom: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.known["pyyaml"] = ["PYSEC-2026-1"]
    write_accepted(sbom.parent, ENTRY.format(until="2199-12-31"))
    assert scan.main([str(sbom)]) == 0
    assert report(sbom.parent)["accepted"][0]["reason"] == "Only dump is affected."
    write_accepted(sbom.parent, ENTRY.format(until="2026-01-31"))
    assert scan.main([str(sbom)]) == 1
    assert "the acceptance of CVE-PYSEC-2026-1 ended on 2026-01-31" in capsys.readouterr().out


def test_the_last_day_of_an_acceptance_counts(project: Path) -> None:
    write_accepted(project, ENTRY.format(until="2026-01-31"))
    path = project / "delivery" / "vulnerabilities.toml"
    for today, accepted in ((dt.date(2026, 1, 31), True), (dt.date(2026, 2, 1), False)):
        entries = read_accepted(path, today=today)
        assert (entries.reason("pyyaml", ["CVE-PYSEC-2026-1"]) is not None) is accepted
        assert entries.reason("numpy", ["CVE-PYSEC-2026-1"]) is None
    assert "was not found; remove it" in read_accepted(path, today=dt.date(2026, 1, 1)).unused()[0]


@pytest.mark.parametrize(
    "text",
    [
        ENTRY.format(until="2026-01-31").replace('reason = "Only dump is affected."\n', ""),
        ENTRY.format(until='"soon"'),
        ENTRY.format(until="2026-01-31") + "severity = 3\n",
        "accept = 3\n",
        "[[ignore]]\nid = 'x'\n",
        "not toml",
    ],
)
def test_an_acceptance_needs_a_reason_and_an_end(sbom: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_accepted(sbom.parent, text)
    assert scan.main([str(sbom)]) == 2
    assert "expected tables [[accept]] with id, package, until (a date)" in capsys.readouterr().err


def test_a_local_version_is_looked_up_as_the_public_one(database: Database, sbom: Path) -> None:
    write_sbom(sbom, {"torch": "2.9.0+cpu"})
    assert scan.main([str(sbom)]) == 0
    assert "torch 2.9.0" in database.asked


@pytest.mark.release
def test_the_services_packages_are_listed_as_they_are_pinned(project: Path) -> None:
    (project / "requirements").mkdir()
    pins = {}
    for box in sbom_step.BOXES:
        text = (Path(__file__).parents[3] / "requirements" / f"{box}.txt").read_text()
        (project / "requirements" / f"{box}.txt").write_text(text)
        pins[box] = sum("==" in line for line in text.splitlines() if not line.startswith("#"))
        found = scan.components(sbom_step.write_sbom(project, box), own="")
        assert len(found.packages) == pins[box] > 20
        assert found.others == {}
