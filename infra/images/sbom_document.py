"""Write the parts of an image as a CycloneDX document: a listing as JSON on standard input, the document on the output.

It runs in `.venv/tools`, which has the CycloneDX library, and imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
import uuid
from datetime import datetime
from typing import Any

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL


def document(listing: dict[str, Any]) -> str:
    """The document of one image, the same for the same listing.

    Args:
        listing: image, tag, created, labels, system (id and version), python and debian: names and versions.

    Raises:
        SystemExit: the document does not fit the schema.
    """
    name, tag = listing["image"], listing["tag"]
    image = Component(
        type=ComponentType.CONTAINER,
        name=name,
        version=tag,
        bom_ref=f"{name}:{tag}",
        properties=[Property(name=key, value=value) for key, value in sorted(listing["labels"].items())],
    )
    system = listing["system"]
    operating = f"{system['id']}-{system['version']}"
    parts = [
        Component(type=ComponentType.OPERATING_SYSTEM, name=system["id"], version=system["version"], bom_ref=operating)
    ]
    for package in listing["python"]:
        url = PackageURL("pypi", None, package["name"].lower().replace("_", "-"), package["version"])
        parts.append(_library(package, url))
    for package in listing["debian"]:
        extra = {"arch": package["architecture"], "distro": operating}
        parts.append(_library(package, PackageURL("deb", system["id"], package["name"], package["version"], extra)))
    bom = Bom(components=parts)
    bom.metadata.component = image
    bom.metadata.timestamp = datetime.fromisoformat(listing["created"])
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(listing, sort_keys=True))
    bom.register_dependency(image, parts)
    text: str = JsonV1Dot6(bom).output_as_string(indent=1)
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        sys.exit(f"the document does not fit the schema of CycloneDX 1.6: {fault}")
    return text


def _library(package: dict[str, str], url: PackageURL) -> Component:
    reference = url.to_string()
    return Component(
        type=ComponentType.LIBRARY, name=package["name"], version=package["version"], purl=url, bom_ref=reference
    )


if __name__ == "__main__":
    print(document(json.load(sys.stdin)))
