"""A network named `module:Class`: found from the project folder, its source recorded, bad names refused in words."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import pytest

from har.errors import SettingsError
from har.settings import check_network
from har.training import FitOptions
from har.training.networks import Network, find_network, network_source, network_sources

CLASS = """
from har.training.networks import Network, Optimisation

class Own(Network):
    optimisation = Optimisation(0.01, 0.0, 0.0, 0.9)
    mark = {mark}
    def observe(self, windows): ...
    def members(self, window): ...
    def logits(self, window, features): ...
"""


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_class_is_found_from_the_projects_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "har.toml", "")
    write(tmp_path, "own_flat.py", CLASS.format(mark=1))
    write(
        tmp_path,
        "own_nets/deep.py",
        "from .parts import mark\nfrom own_nets import parts\n" + CLASS.format(mark="mark"),
    )
    write(tmp_path, "own_nets/parts.py", "mark = 2\n")
    before = list(sys.path)
    assert find_network("own_flat:Own", tmp_path).mark == 1  # type: ignore[attr-defined]
    assert find_network("own_nets.deep:Own", tmp_path).mark == 2  # type: ignore[attr-defined]
    below = tmp_path / "data"
    below.mkdir()
    monkeypatch.chdir(below)
    monkeypatch.delenv("HAR_ROOT", raising=False)
    assert find_network("own_flat:Own").mark == 1  # type: ignore[attr-defined]
    assert check_network("own_nets.deep:Own") == "own_nets.deep:Own"
    assert sys.path == before


def test_a_class_of_an_installed_package_is_found(tmp_path: Path) -> None:
    assert find_network("har.training.networks.dscnn:DsCnn", tmp_path) is find_network("dscnn")
    assert set(network_sources("har.training.networks.dscnn:DsCnn", tmp_path)) >= {"har/training/networks/dscnn.py"}


def test_an_edited_network_and_one_of_another_project_are_read_anew(tmp_path: Path) -> None:
    """A worker lives for days, and a test's process knows several projects."""
    for number, root in enumerate((tmp_path / "a", tmp_path / "b")):
        write(root, "same_name/deep.py", "from .parts import mark\n" + CLASS.format(mark="mark"))
        write(root, "same_name/parts.py", f"mark = {number}\n")
        assert find_network("same_name.deep:Own", root).mark == number  # type: ignore[attr-defined]
    write(root, "same_name/parts.py", "mark = 17\n")
    assert find_network("same_name.deep:Own", root).mark == 17  # type: ignore[attr-defined]
    assert find_network("same_name.deep:Own", root) is find_network("same_name.deep:Own", root)
    assert find_network("same_name.deep:Own", tmp_path / "a").mark == 0  # type: ignore[attr-defined]


def test_the_source_is_the_file_and_what_it_imports_from_the_project(tmp_path: Path) -> None:
    write(tmp_path, "own_nets/__init__.py", "")
    write(
        tmp_path,
        "own_nets/deep.py",
        "import json, torch\ndef late():\n    from . import parts\n" + CLASS.format(mark=1),
    )
    parts = write(tmp_path, "own_nets/parts.py", "import own_layers\n")
    write(tmp_path, "own_layers.py", "")
    unrelated = write(tmp_path, "own_nets/unrelated.py", "")
    name = "own_nets.deep:Own"
    names = {"own_nets/__init__.py", "own_nets/deep.py", "own_nets/parts.py", "own_layers.py"}
    assert set(network_sources(name, tmp_path)) == names
    first = network_source(name, tmp_path)
    unrelated.write_text("x = 1\n")
    assert network_source(name, tmp_path) == first
    parts.write_text("import own_layers  # another\n")
    assert network_source(name, tmp_path) != first
    assert (network_source("spectral", tmp_path), network_sources("spectral", tmp_path)) == ("", {})


def test_the_sources_alone_are_the_network(tmp_path: Path) -> None:
    """What a version keeps is enough to train it again elsewhere."""
    write(tmp_path, "own_nets/deep.py", "from own_parts import mark\n" + CLASS.format(mark="mark"))
    write(tmp_path, "own_parts.py", "mark = 5\r\n")
    name, elsewhere = "own_nets.deep:Own", tmp_path / "elsewhere"
    for path, text in json.loads(json.dumps(network_sources(name, tmp_path))).items():
        write(elsewhere, path, text)
    assert find_network(name, elsewhere).mark == 5  # type: ignore[attr-defined]
    assert network_source(name, elsewhere) == network_source(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("own_deep:Own", None, r"a module own_deep in .*, but got none\. Did you mean 'own_deeper'"),
        ("nowhere.at.all:Own", None, r"a module nowhere\.at\.all in .*, but got none\. See docs/how-to/own-network"),
        ("own_deeper:", None, r"expected module:Class, such as .*'own_deeper:'"),
        ("own/deeper.py:Own", None, r"expected module:Class.*without \.py"),
        ("a:b:c", None, "expected module:Class"),
        ("own_bad:Onw", CLASS.format(mark=1), r"a class Onw that is a Network, but got none\. Did you mean 'Own'"),
        ("own_bad:Path", "from pathlib import Path\n", r"a class Path that is a Network, but got <class"),
        (
            "own_bad:Own",
            "import no_such_package\n",
            r"own_bad\.py, line 1: .*ModuleNotFoundError: No module",
        ),
        ("own_bad:Own", "import json\njson.loads('')\n", r"own_bad\.py, line 2: .*JSONDecodeError"),
        ("own_bad:Own", "x = 1\n\ny = 1 / 0\n", r"own_bad\.py, line 3: .*ZeroDivisionError"),
        ("own_bad:Own", "class Own(:\n", r"own_bad\.py, line 1: expected Python in UTF-8"),
        (
            "own_bad:Own",
            CLASS.format(mark=1).replace("def logits", "def logit"),
            "Own to have logits, ",
        ),
        (
            "own_bad:Own",
            CLASS.format(mark=1) + "    def __init__(self, signal, width): ...\n",
            r"further arguments need defaults, but got missing a required argument: 'width'",
        ),
    ],
)
def test_a_bad_name_is_refused_in_words(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    write(tmp_path, "own_deeper.py", CLASS.format(mark=1))
    if text is not None:
        write(tmp_path, "own_bad.py", text)
    with pytest.raises(SettingsError, match=f"(?s){words}"):
        find_network(name, tmp_path)
    assert find_network("own_deeper:Own", tmp_path).mark == 1, "a bad name leaves nothing behind"  # type: ignore[attr-defined]


def test_a_file_is_recorded_from_the_projects_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "har.toml", "")
    write(tmp_path, "nets/own.py", CLASS.format(mark=3) + "\nNETWORK = Own\n")
    monkeypatch.chdir(tmp_path / "nets")
    monkeypatch.delenv("HAR_ROOT", raising=False)
    assert check_network("own.py") == "nets/own.py"
    assert issubclass(find_network(check_network("own.py"), tmp_path), Network)
    assert network_source("nets/own.py", tmp_path)


def test_options_travel_to_workers(tmp_path: Path) -> None:
    options = FitOptions("own:Own", root=tmp_path)
    assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301  of this test
