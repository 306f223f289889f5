"""The package of a service: a folder with the champion and its card, the fallback rule, and up to two further models.

Its manifest, `package.json`, holds the SHA-256 of every file and of its own content, so that a flipped bit, an
incomplete copy or another version's file under the same name is refused before anything is served.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from har.errors import ModelError
from har.inference._rule import MagnitudeRule

FORMAT = 2
_MANIFEST = "package.json"
_OPTIONAL = ("previous", "shadow")
_CARD = "card.md"
_AGAIN = "Package the champion again: har package."


@dataclass(frozen=True, eq=False)
class Package:
    """The content of a package's folder.

    Attributes:
        model: path of the champion's `model.onnx`.
        version: its version in the registry.
        previous: path of the previous champion, which answers if the champion fails; None: there is none.
        previous_version: its version in the registry.
        shadow: path of the shadow model, which gets some requests without answering them; None: there is none.
        shadow_version: its version in the registry.
        rule: answers if the models fail.
        card: path of the champion's model card, Markdown; None: there is none.
        sha256: of the manifest's content, and through it of all files; a bento records it.
    """

    model: Path
    version: int
    previous: Path | None
    previous_version: int | None
    shadow: Path | None
    shadow_version: int | None
    rule: MagnitudeRule
    sha256: str
    card: Path | None = None

    @classmethod
    def read(cls, folder: Path | str) -> Package:
        """Read a package's manifest and compare every file with it.

        Raises:
            ModelError: the manifest is missing, has another format, cannot be read or was changed, or a file is missing
                or is not the one that was packaged.
        """
        folder = Path(folder)
        manifest = _manifest(folder / _MANIFEST)
        version = _version(folder, manifest, "version")
        versions = {name: _version(folder, manifest, name) for name in _OPTIONAL if manifest.get(name) is not None}
        paths = {name: folder / f"{name}.onnx" for name in versions}
        rule = MagnitudeRule.from_json(manifest.get("rule"), where=f"{folder / _MANIFEST}, rule")
        _require_hash(f"{folder / _MANIFEST}, sha256", manifest.get("sha256"), _content_sha256(manifest))
        found = manifest.get("files")
        hashes = found if isinstance(found, dict) else {}
        card = folder / _CARD if _CARD in hashes else None
        for path in (folder / "model.onnx", *paths.values(), *([card] if card else [])):
            _require_file(path, hashes.get(path.name))
        return cls(
            folder / "model.onnx",
            version,
            paths.get("previous"),
            versions.get("previous"),
            paths.get("shadow"),
            versions.get("shadow"),
            rule,
            manifest["sha256"],
            card,
        )

    @classmethod
    def write(
        cls,
        folder: Path | str,
        *,
        model: Path,
        version: int,
        previous: tuple[Path, int] | None,
        shadow: tuple[Path, int] | None,
        rule: MagnitudeRule,
        card: Path | None = None,
    ) -> Package:
        """Copy the models and the card to a new or empty folder and write the manifest.

        The manifest is written last, so that an incomplete copy is refused.

        Raises:
            ModelError: the folder is not empty, or a file is missing.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        present = next(folder.iterdir(), None)
        if present is not None:
            raise ModelError(
                where=str(folder),
                expected="a new or empty folder",
                got=f"a folder with {present.name}",
                remedy="Choose a new folder for each package.",
            )
        optional = {"previous": previous, "shadow": shadow}
        files = {"model.onnx": model, **{f"{name}.onnx": pair[0] for name, pair in optional.items() if pair}}
        if card is not None:
            files[_CARD] = card
        for name, source in files.items():
            try:
                shutil.copyfile(source, folder / name)
            except FileNotFoundError as error:
                raise ModelError(
                    where=str(source), expected="a file to package", got="none", remedy="Fetch it from the registry."
                ) from error
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "version": version,
            **{name: None if pair is None else pair[1] for name, pair in optional.items()},
            "files": {name: _file_sha256(folder / name) for name in files},
            "rule": rule.to_json(),
        }
        manifest["sha256"] = _content_sha256(manifest)
        (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        return cls.read(folder)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ValueError(f"format {manifest.get('format')!r}" if isinstance(manifest, dict) else "no JSON object")
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise ModelError(
            where=str(path),
            expected=f"a package's manifest, format {FORMAT}",
            got=str(error) if isinstance(error, ValueError) else "none",
            remedy="Package the champion: har package.",
        ) from error
    return manifest


def _version(folder: Path, manifest: dict[str, Any], name: str) -> int:
    version = manifest.get(name)
    if not isinstance(version, int) or isinstance(version, bool):
        raise ModelError(
            where=f"{folder / _MANIFEST}, {name}",
            expected="a version number of the registry",
            got=repr(version),
            remedy=_AGAIN,
        )
    return version


def _content_sha256(manifest: dict[str, Any]) -> str:
    """SHA-256 of the manifest's values without the hash itself, whatever their order and spacing in the file."""
    content = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    # `har.files` has this too, but imports what an online bento does not have.
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _require_file(path: Path, expected: object) -> None:
    if not path.is_file():
        raise ModelError(where=str(path), expected=f"the file that {_MANIFEST} names", got="none", remedy=_AGAIN)
    _require_hash(str(path), expected, _file_sha256(path))


def _require_hash(where: str, expected: object, got: str) -> None:
    if expected != got:
        raise ModelError(
            where=where,
            expected=f"the content that was packaged, SHA-256 {expected}",
            got=f"another, SHA-256 {got}",
            remedy=_AGAIN,
        )
