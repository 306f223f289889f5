"""Check manifests against the schemas of Kubernetes and those in `schemas/`; `.venv/tools/bin/python` runs it.

    kubectl kustomize DIR | .venv/tools/bin/python infra/kubernetes/validate.py [--version 1.34] [FILE] …

A field that a kind does not have is refused, as are kinds without a schema. The schemas of Kubernetes' own kinds are
those of kubernetes-validate; its command names the first breach of an object only, this names all of them. Ends with 1
if there is one. It imports nothing of this project.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# jsonschema imports it for a format that no schema here has, and it takes three seconds to build its grammars.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

import jsonschema  # noqa: E402
import kubernetes_validate  # noqa: E402
import yaml  # noqa: E402
from referencing import Registry, Resource  # noqa: E402

OWN = Path(__file__).with_name("schemas")
THEIRS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"


def breaches(manifest: dict[str, Any], version: str) -> Iterator[str]:
    """What is wrong with one object; each with the place in it."""
    kind, group = str(manifest.get("kind")), str(manifest.get("apiVersion"))
    validator = _own(group, kind) or _theirs(group, kind, version)
    if validator is None:
        yield f"no schema of {group} {kind}: add one to {OWN.name}/"
        return
    for error in sorted(validator.iter_errors(manifest), key=lambda one: [str(part) for part in one.absolute_path]):
        for cause in _causes(error):
            yield f"{'.'.join(str(part) for part in cause.absolute_path) or 'the object'}: {cause.message[:300]}"


def _causes(error: jsonschema.ValidationError) -> Iterator[jsonschema.ValidationError]:
    """Of a choice, the breaches of the branch that fits best."""
    if not error.context:
        yield error
        return
    branches: dict[Any, list[jsonschema.ValidationError]] = {}
    for cause in error.context:
        branches.setdefault(cause.schema_path[0], []).append(cause)
    for cause in min(branches.values(), key=len):
        yield from _causes(cause)


@functools.cache
def _own(group: str, kind: str) -> jsonschema.Draft202012Validator | None:
    path = OWN / f"{group.replace('/', '_')}.yaml"
    if not path.is_file():
        return None
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    schema = content["kinds"].get(kind)
    return schema and jsonschema.Draft202012Validator({**schema, "definitions": content["definitions"]})


@functools.cache
def _theirs(group: str, kind: str, version: str) -> jsonschema.Draft202012Validator | None:
    folder = THEIRS / f"v{version}-local-strict"
    short = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", group)
    path = folder / f"{kind.lower()}-{short}.json"
    if not path.is_file():
        return None
    return jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")), registry=_registry(folder))


@functools.cache
def _registry(folder: Path) -> Registry[Any]:
    definitions = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))
    return Resource.from_contents(definitions) @ Registry()


def _version(word: str) -> str:
    """The newest schemas that are not newer than `word`, such as 1.34; "": the newest."""
    there = sorted(
        (tuple(map(int, path.name[1:].split("-")[0].split("."))) for path in THEIRS.glob("v*-local-strict")),
        reverse=True,
    )
    wanted = tuple(map(int, word.split("."))) if word else there[0]
    found = next((one for one in there if one[: len(wanted)] <= wanted), None)
    if found is None:
        sys.exit(f"Kubernetes {word}: expected {there[-1]} or later")
    return ".".join(map(str, found))


def main() -> int:
    """Check the files, or standard input; returns the exit status."""
    parser = argparse.ArgumentParser(description="Check manifests against schemas; unknown fields are refused.")
    parser.add_argument("--version", default="", help="of Kubernetes; by default the newest that is known")
    parser.add_argument("files", nargs="*", type=Path, help="by default, standard input")
    options = parser.parse_args()
    version = _version(options.version)
    status = count = 0
    for path in options.files or [Path("/dev/stdin")]:
        for manifest in yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
            if manifest is None:
                continue
            count += 1
            name = f"{manifest.get('kind')}/{(manifest.get('metadata') or {}).get('name')}"
            for breach in breaches(manifest, version):
                print(f"{path}: {name}: {breach}")
                status = 1
    if not count:
        print("no manifest was read")
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
