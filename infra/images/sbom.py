"""List what is in the built images: `python -m infra.images.sbom [BOX[=IMAGE]] …`; `make sbom`.

The list is taken in a container: the Python packages that its interpreter finds, and the Debian packages of its base.
It is written as CycloneDX 1.6 to `reports/sbom/<box>.cdx.json`. Then pip-audit looks the Python packages up; where it
reaches no database, the count is null and the reason stands beside it, because "none found" would be a lie.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from har.errors import PackagingError, ScanError
from har.files import write_atomically
from infra.delivery.online.scan import components, own_name, pip_audit
from infra.images import figures
from infra.images.check import HARDENED, asked
from infra.images.ending import refusals
from infra.images.engine import Engine

TOOLS = Path(sys.prefix) / "tools" / "bin"
"""The tools' environment beside the project's packages."""

_LIST = """
import email, importlib.metadata, json, pathlib, platform
found = {dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions()}
status = pathlib.Path("/var/lib/dpkg/status")
entries = status.read_text().split("\\n\\n") if status.is_file() else []
debian = [email.message_from_string(entry) for entry in entries if "\\nStatus: install ok installed" in entry]
release = platform.freedesktop_os_release()
print(json.dumps({
    "python": [{"name": name, "version": found[name]} for name in sorted(found)],
    "debian": [{"name": one["Package"], "version": one["Version"], "architecture": one["Architecture"]}
        for one in debian],
    "system": {"id": release["ID"], "version": release.get("VERSION_ID", "")},
}))
"""


def listing(engine: Engine, image: str) -> dict[str, Any]:
    """What is in an image: python, debian and system; and its image, tag, created and labels.

    Raises:
        PackagingError: there is no such image, or it has no Python.
    """
    told = engine.inspect(image)
    command = ("run", "--rm", *HARDENED, "--network=none", "--entrypoint=python", image, "-c", _LIST)
    printed = engine.call(*command, where=f"image {image}", remedy="Build it again: make images.")
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    name, _, tag = image.rpartition(":")
    labels = told["Config"].get("Labels") or {}
    created = labels.get("org.opencontainers.image.created") or told["Created"]
    own = {key: value for key, value in labels.items() if key.startswith(("org.opencontainers.", "har."))}
    return {"image": name, "tag": tag, "created": created, "labels": own, **found}


def document(found: Mapping[str, Any]) -> str:
    """The CycloneDX document of a listing.

    Raises:
        PackagingError: the tools are not installed, or the document does not fit the schema.
    """
    script = Path(__file__).with_name("sbom_document.py")
    command = [_tool("python"), "-I", str(script)]
    done = subprocess.run(command, input=json.dumps(found), capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackagingError(
            where=f"SBOM of {found['image']}:{found['tag']}",
            problem=f"cannot be written: {done.stderr.strip()[-500:]}",
            remedy="Run: make setup.",
        )
    return done.stdout


def audit(packages: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """How many packages were looked up, and the known vulnerabilities of them.

    Args:
        packages: (name, version), without the project's own, which no database knows.

    Returns:
        audited and vulnerabilities, both numbers, and findings; or null for both, and the reason.
    """
    try:
        done = pip_audit(packages)
    except ScanError as error:
        return _not_audited(str(error))
    return counted(done.stdout, done.stderr, len(packages))


def counted(printed: str, messages: str, expected: int) -> dict[str, Any]:
    """What pip-audit found; no figure at all unless it looked every package up.

    Args:
        printed: its JSON.
        messages: what it said beside that.
        expected: the number of packages.
    """
    try:
        rows: list[dict[str, Any]] = json.loads(printed)["dependencies"]
    except (ValueError, KeyError, TypeError):
        lines = [line for line in messages.strip().splitlines() if line.strip()]
        said = lines[-1].removeprefix("ERROR:pip_audit._cli:")[:300] if lines else "nothing"
        return _not_audited(f"no database was reached, or it does not know a package; pip-audit said: {said}")
    audited = [row for row in rows if "vulns" in row and "skip_reason" not in row]
    if len(audited) < expected:
        return _not_audited(f"pip-audit looked up {len(audited)} of {expected} packages")
    findings = [f"{row['name']} {row['version']}: {found['id']}" for row in audited for found in row["vulns"]]
    return {"audited": len(audited), "vulnerabilities": len(findings), "findings": findings}


def _not_audited(why: str) -> dict[str, Any]:
    return {"audited": None, "vulnerabilities": None, "reason": why}


def _tool(name: str) -> str:
    path = TOOLS / name
    if not path.is_file():
        raise PackagingError(where=str(path), expected="a tool", got="no such file", remedy="Install it: make setup.")
    return str(path)


def main() -> None:
    """Describe the images that were asked for."""
    with refusals():
        settings, engine, images = asked("sbom", "List what is in images.")
        for box, image in images.items():
            found = listing(engine, image)
            path = settings.path("reports") / "sbom" / f"{box}.cdx.json"
            write_atomically(path, document(found))
            result = audit(components(path, own_name(settings.root)).packages)
            figures.add(settings, {f"{box}_vulnerabilities": result})
            known = result["vulnerabilities"]
            said = f"{known} known vulnerabilities" if known is not None else f"not audited: {result['reason']}"
            print(f"{path}: {len(found['python'])} Python and {len(found['debian'])} Debian packages; {said}")


if __name__ == "__main__":
    main()
