"""A package's folder: written, read back, and refused with the name of a missing file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from har.errors import ModelError
from har.inference import MagnitudeRule, Package


@pytest.fixture
def rule() -> MagnitudeRule:
    windows = np.random.default_rng(0).normal(size=(12, 16, 3)).astype(np.float32) * np.repeat([1, 5], 6)[:, None, None]
    windows = windows.astype(np.float32)
    return MagnitudeRule.fit(windows, np.repeat([0, 1], 6), units=("m/s^2",) * 3, activities=("sit", "walk"))


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / f"from_{name}.onnx" for name in ("champion", "before", "challenger")}
    for name, path in paths.items():
        path.write_bytes(name.encode())
    return paths


@pytest.fixture
def full(tmp_path: Path, models: dict[str, Path], rule: MagnitudeRule) -> Path:
    Package.write(
        tmp_path / "package",
        model=models["champion"],
        version=7,
        previous=(models["before"], 6),
        shadow=(models["challenger"], 8),
        rule=rule,
    )
    return tmp_path / "package"


def test_what_was_written_is_read_back(full: Path, rule: MagnitudeRule) -> None:
    package = Package.read(full)
    assert (package.version, package.previous_version, package.shadow_version) == (7, 6, 8)
    assert package.previous is not None
    assert package.shadow is not None
    contents = [path.read_bytes() for path in (package.model, package.previous, package.shadow)]
    assert contents == [b"champion", b"before", b"challenger"]
    assert package.rule.to_json() == rule.to_json()


def test_the_champion_alone_is_enough(tmp_path: Path, models: dict[str, Path], rule: MagnitudeRule) -> None:
    package = Package.write(
        tmp_path / "a" / "b", model=models["champion"], version=1, previous=None, shadow=None, rule=rule
    )
    assert (package.previous, package.previous_version, package.shadow, package.shadow_version) == (None,) * 4
    assert sorted(path.name for path in package.model.parent.iterdir()) == ["model.onnx", "package.json"]


def test_the_champions_card_is_packaged_and_its_content_is_checked(
    tmp_path: Path, models: dict[str, Path], rule: MagnitudeRule, full: Path
) -> None:
    card = tmp_path / "version-7.md"
    card.write_text("# Version 7")
    folder = tmp_path / "carded"
    options = {"version": 7, "previous": None, "shadow": None, "rule": rule}
    package = Package.write(folder, model=models["champion"], **options, card=card)
    assert package.card == folder / "card.md" and package.card.read_text() == "# Version 7"
    package.card.write_text("# Version 8")
    with pytest.raises(ModelError, match="the content that was packaged"):
        Package.read(folder)
    package.card.unlink()
    with pytest.raises(ModelError, match=r"the file that package.json names"):
        Package.read(folder)
    assert Package.read(full).card is None


def test_it_does_not_depend_on_the_files_it_was_made_from(full: Path, models: dict[str, Path]) -> None:
    for path in models.values():
        path.unlink()
    assert Package.read(full).model.read_bytes() == b"champion"


def test_the_manifest_is_as_documented(full: Path, rule: MagnitudeRule) -> None:
    manifest = json.loads((full / "package.json").read_text())
    digest = manifest.pop("sha256")
    assert manifest == {
        "format": 2,
        "version": 7,
        "previous": 6,
        "shadow": 8,
        "files": {
            f"{name}.onnx": hashlib.sha256(content).hexdigest()
            for name, content in (("model", b"champion"), ("previous", b"before"), ("shadow", b"challenger"))
        },
        "rule": rule.to_json(),
    }
    assert Package.read(full).sha256 == digest


def test_a_folder_in_use_is_not_written_into(full: Path, models: dict[str, Path], rule: MagnitudeRule) -> None:
    with pytest.raises(ModelError, match="a new or empty folder"):
        Package.write(full, model=models["before"], version=9, previous=None, shadow=None, rule=rule)
    assert Package.read(full).version == 7


@pytest.mark.parametrize("name", ["model", "previous"])
def test_a_missing_source_leaves_nothing_that_could_be_served(
    tmp_path: Path, models: dict[str, Path], rule: MagnitudeRule, name: str
) -> None:
    nothing = tmp_path / "nothing.onnx"
    with pytest.raises(ModelError, match=r"nothing\.onnx: expected a file to package, but got none"):
        Package.write(
            tmp_path / "package",
            model=nothing if name == "model" else models["champion"],
            version=1,
            previous=(nothing, 0) if name == "previous" else None,
            shadow=None,
            rule=rule,
        )
    with pytest.raises(ModelError, match=r"package\.json"):
        Package.read(tmp_path / "package")


@pytest.mark.parametrize("name", ["model", "previous", "shadow"])
def test_a_model_that_is_gone_is_named(full: Path, name: str) -> None:
    (full / f"{name}.onnx").unlink()
    with pytest.raises(ModelError, match=rf"{name}\.onnx: expected the file that package.json names.*har package"):
        Package.read(full)


def test_no_package(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelError, match=r"package\.json: expected a package's manifest.*got none.*har package"):
            Package.read(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "Expecting value"),
        ("\x00\x01", "Expecting value"),
        ("[]", "no JSON object"),
        ("{}", "format None"),
        ('{"format": 1}', "format 1"),
        ('{"format": 2}', r"version: expected a version number.*got None"),
        ('{"format": 2, "version": "7"}', r"version: .*got '7'"),
        ('{"format": 2, "version": true}', r"version: .*got True"),
        ('{"format": 2, "version": 7, "shadow": "x"}', r"shadow: .*got 'x'"),
        ('{"format": 2, "version": 7}', r"rule: expected .*NoneType"),
    ],
)
def test_a_foreign_manifest_is_refused(full: Path, content: str, words: str) -> None:
    (full / "package.json").write_text(content)
    with pytest.raises(ModelError, match=words):
        Package.read(full)


def test_a_manifest_that_is_no_text_is_refused(full: Path) -> None:
    (full / "package.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="a package's manifest"):
        Package.read(full)


@pytest.mark.parametrize("name", ["model.onnx", "previous.onnx", "shadow.onnx", "package.json"])
def test_a_flipped_bit_is_refused_by_name(full: Path, name: str) -> None:
    sound = (full / name).read_bytes()
    for at in np.random.default_rng(0).integers(8 * len(sound), size=60):
        flipped = bytearray(sound)
        flipped[at // 8] ^= 1 << (at % 8)
        (full / name).write_bytes(flipped)
        with pytest.raises(ModelError, match=name.replace(".", r"\.")):
            Package.read(full)
    (full / name).write_bytes(sound)
    assert Package.read(full).version == 7


def test_another_versions_file_under_its_name_is_refused(full: Path) -> None:
    (full / "model.onnx").write_bytes((full / "previous.onnx").read_bytes())
    packaged, found = (hashlib.sha256(content).hexdigest() for content in (b"champion", b"before"))
    with pytest.raises(ModelError, match=rf"model\.onnx: expected .*{packaged}, but got .*{found}.*har package"):
        Package.read(full)


@pytest.mark.parametrize("version", [6, 70])
def test_another_number_in_the_manifest_is_refused(full: Path, version: int) -> None:
    manifest = json.loads((full / "package.json").read_text())
    (full / "package.json").write_text(json.dumps({**manifest, "version": version}))
    with pytest.raises(ModelError, match=r"package\.json, sha256: "):
        Package.read(full)
