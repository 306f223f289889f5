"""Look up what is known about the packages of an image: every one of its SBOM, in a database that answers.

    python -m infra.delivery.online.scan SBOM … [--report FOLDER]

An SBOM is a CycloneDX file (JSON), as `make service-sbom` or `make sbom` writes it. pip-audit asks the database: PyPI,
or what the variables PIP_AUDIT_VULNERABILITY_SERVICE and PIP_AUDIT_OSV_URL name. pip-audit ends with 0 when it reaches
none, so its answer is counted: a package that it does not name, or skips, is not audited, and a database that knows
nothing about a package with many known vulnerabilities is none.

Exit status: 0 nothing known, or accepted in `delivery/vulnerabilities.toml`; 1 vulnerabilities; 2 not everything could
be audited.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from har.errors import HarError, ScanError
from har.files import write_atomically
from har.settings import load_settings
from infra.delivery._step import RESULTS
from infra.delivery.online._accepted import Accepted, read_accepted

ACCEPTED = Path("delivery") / "vulnerabilities.toml"
KNOWN_BAD = ("django", "2.0")
"""A package with dozens of known vulnerabilities, which no image here has: every database must know one of them."""

_TIMEOUT_S = 900.0
_AGAIN = "Run it where the database can be reached: see PIP_AUDIT_VULNERABILITY_SERVICE in docs/how-to/delivery.md."
_MAKE_IT = "Make it again: make service-sbom, or make sbom."
_NOT_PACKAGES = ("file", "operating-system", "platform", "container", "firmware", "device")


@dataclass(frozen=True)
class Contents:
    """The components of an SBOM.

    Attributes:
        packages: Python packages, (name, version), in the order of their names.
        own: the project's own packages, which no database knows.
        others: number of components by another kind, such as `deb`.
    """

    packages: tuple[tuple[str, str], ...]
    own: tuple[str, ...]
    others: dict[str, int]


@dataclass
class Audit:
    """What was found about one SBOM.

    Attributes:
        sbom: its path.
        contents: what it lists.
        found: vulnerabilities that count: id, package, version, fixed in, description.
        accepted: those that were accepted, with the reason and its end.
    """

    sbom: Path
    contents: Contents
    found: list[dict[str, Any]] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)


def components(path: Path, own: str) -> Contents:
    """Read an SBOM.

    Raises:
        ScanError: no CycloneDX file, a Python package without a version, or no Python package at all.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["bomFormat"] != "CycloneDX":
            raise ValueError(f"bomFormat {content['bomFormat']}")
        listed = list(_flat(content.get("components", [])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScanError(
            where=str(path),
            expected="an SBOM in CycloneDX's JSON",
            got=f"{type(error).__name__}: {error}",
            remedy=_MAKE_IT,
        ) from error
    packages, own_packages, others = set(), set(), Counter[str]()
    for one in listed:
        kind, name, version = _place(one)
        if kind == "pypi" and canonicalize_name(name) == canonicalize_name(own):
            own_packages.add(name)
        elif kind == "pypi" and version:
            # A local version, such as torch's +cpu, is the same source built otherwise; databases have the public one.
            packages.add((canonicalize_name(name), version.partition("+")[0]))
        elif kind == "pypi":
            raise ScanError(
                where=f"{path}, {name}",
                expected="its version",
                got="none",
                remedy=_MAKE_IT,
            )
        elif one.get("type") not in _NOT_PACKAGES:
            others[kind or "of no known kind"] += 1
    if not packages:
        raise ScanError(
            where=str(path),
            expected="at least one Python package (purl pkg:pypi/…)",
            got=f"none of {len(listed)} components",
            remedy=_MAKE_IT,
        )
    return Contents(tuple(sorted(packages)), tuple(sorted(own_packages)), dict(sorted(others.items())))


def audit(sbom: Path, accepted: Accepted, *, own: str) -> Audit:
    """Ask about every package of an SBOM.

    Raises:
        ScanError: see `components`; or the database was not reached, knows nothing, or was not asked about all.
    """
    contents = components(sbom, own)
    result = Audit(sbom, contents)
    if not any(one["vulns"] for one in _ask([KNOWN_BAD])):
        raise ScanError(
            where="the database of vulnerabilities",
            expected=f"those of {' '.join(KNOWN_BAD)}, which has many",
            got="none: it answers, and knows nothing",
            remedy=_AGAIN,
        )
    answers = {(canonicalize_name(one["name"]), one["version"]): one for one in _ask(contents.packages)}
    missing = [f"{name} {version}" for name, version in contents.packages if (name, version) not in answers]
    if missing:
        raise ScanError(
            where=str(sbom),
            expected=f"an answer about each of its {len(contents.packages)} Python packages",
            got=f"{len(answers)}; none about {', '.join(missing[:10])}",
            remedy=_AGAIN,
        )
    for (name, version), answer in sorted(answers.items()):
        for one in answer["vulns"]:
            entry = {
                "id": one["id"],
                "aliases": list(one.get("aliases", [])),
                "package": name,
                "version": version,
                "fixed_in": list(one.get("fix_versions", [])),
                "description": str(one.get("description", ""))[:300],
            }
            reason = accepted.reason(name, [one["id"], *entry["aliases"]])
            (result.found.append(entry) if reason is None else result.accepted.append({**entry, **reason}))
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see the module."""
    parser = argparse.ArgumentParser(prog="python -m infra.delivery.online.scan", description=__doc__)
    parser.add_argument("sboms", nargs="+", type=Path, metavar="SBOM")
    parser.add_argument("--report", type=Path, help="folder for scan.json and scan.md; by default build/delivery")
    chosen = parser.parse_args(arguments)
    try:
        root = load_settings().root
        accepted = read_accepted(root / ACCEPTED, today=dt.datetime.now(dt.UTC).date())
        audits = [audit(sbom, accepted, own=own_name(root)) for sbom in chosen.sboms]
    except HarError as error:
        print(error, file=sys.stderr)
        return 2
    folder = chosen.report or root / RESULTS
    write_report(folder, audits, accepted)
    print((folder / "scan.md").read_text(encoding="utf-8"))
    return int(any(one.found for one in audits))


def write_report(folder: Path, audits: Sequence[Audit], accepted: Accepted) -> None:
    """Write `scan.json` and `scan.md`: what was audited, found and accepted, and what was not looked at."""
    content = [
        {
            "sbom": one.sbom.name,
            "audited": len(one.contents.packages),
            "own": list(one.contents.own),
            "not_audited": one.contents.others,
            "vulnerabilities": one.found,
            "accepted": one.accepted,
        }
        for one in audits
    ]
    write_atomically(folder / "scan.json", json.dumps(content, indent=1, default=str) + "\n")
    lines = [
        "# Known vulnerabilities",
        "",
        "| SBOM | audited | found | accepted | not audited |",
        "|---|---|---|---|---|",
    ]
    for one in audits:
        others = ", ".join(f"{count} {kind}" for kind, count in one.contents.others.items()) or "none"
        counts = f"{len(one.contents.packages)} | {len(one.found)} | {len(one.accepted)}"
        lines.append(f"| {one.sbom.name} | {counts} | {others} |")
    for one in audits:
        for entry in one.found:
            fixed = f"fixed in {', '.join(entry['fixed_in'])}" if entry["fixed_in"] else "no fixed version"
            about = " ".join(entry["description"].split())
            lines += [
                "",
                f"- **{entry['package']} {entry['version']}** {entry['id']} ({one.sbom.name}): {fixed}. {about}",
            ]
        for entry in one.accepted:
            about = f"{entry['package']} {entry['version']} {entry['id']}"
            lines += ["", f"- {about}: accepted until {entry['until']}: {entry['reason']}"]
    lines += [f"\n- {text}" for text in accepted.unused()]
    write_atomically(folder / "scan.md", "\n".join(lines) + "\n")


def pip_audit(packages: Sequence[tuple[str, str]]) -> subprocess.CompletedProcess[str]:
    """Ask pip-audit about packages, (name, version); its output, whatever its exit status says.

    Raises:
        ScanError: it is not installed, or did not end in time.
    """
    tool = Path(sys.prefix) / "tools" / "bin" / "pip-audit"
    if not tool.exists():
        raise ScanError(where=str(tool), expected="pip-audit", got="no such file", remedy="Install it: make setup.")
    with tempfile.TemporaryDirectory(prefix="har-scan-") as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("".join(f"{name}=={version}\n" for name, version in packages), encoding="utf-8")
        # A cache of its own: what another run was told is no answer.
        options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
        try:
            return subprocess.run(
                [str(tool), "--requirement", str(requirements), *options, "--cache-dir", f"{folder}/cache"],
                env={**os.environ, "NO_COLOR": "1"},
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ScanError(where="pip-audit", problem=f"did not end within {_TIMEOUT_S:g} s", remedy=_AGAIN) from error


def _ask(packages: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """What pip-audit answers: name, version and vulnerabilities of each package that it did not skip.

    Raises:
        ScanError: it failed, or what it printed is no answer.
    """
    done = pip_audit(packages)
    try:
        return [one for one in json.loads(done.stdout)["dependencies"] if "skip_reason" not in one]
    except (ValueError, KeyError, TypeError) as error:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1][:300]
        raise ScanError(
            where="pip-audit",
            expected="an answer about every package",
            got=f"exit status {done.returncode}: {said}",
            remedy=_AGAIN,
        ) from error


def _flat(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for one in listed for part in (one, *_flat(one.get("components", [])))]


def _place(component: dict[str, Any]) -> tuple[str, str, str]:
    """Kind, name and version, from the component's package URL where it has one."""
    purl = str(component.get("purl", ""))
    kind = purl.removeprefix("pkg:").partition("/")[0] if purl.startswith("pkg:") else ""
    return kind, str(component.get("name", "")), str(component.get("version", ""))


def own_name(root: Path) -> str:
    """The name of the project's own package; "": it has none."""
    try:
        return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):  # a folder with settings alone has no package of its own
        return ""


if __name__ == "__main__":
    sys.exit(main())
