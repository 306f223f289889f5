"""The network of the guide, dropped in as one file: trained, exported, served."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from har.errors import SettingsError
from har.inference import Classifier
from har.settings import _networks, check_network, network_names
from har.training import FitOptions, check_parity, export, fit, networks
from har.training.networks import Network, find_network

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "own-network.md"
TRAIN = ("s00", "s01", "s02", "s03")


@pytest.fixture
def guides_file(tmp_path: Path) -> Path:
    block = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    path = tmp_path / "deep_conv_lstm.py"
    path.write_text(block[1], encoding="utf-8")
    return path


def test_the_guides_network_learns_and_is_served(
    guides_file: Path, make_signal, make_windows, describe_model, tmp_path: Path
) -> None:
    """As the guide names it, from the public names that it imports."""
    imported = re.findall(r"^(?:from|import) (\S+)", guides_file.read_text(encoding="utf-8"), re.MULTILINE)
    assert imported == ["torch", "torch", "har.training.networks"]
    assert "deep_conv_lstm:DeepConvLstm" in GUIDE.read_text(encoding="utf-8")
    signal = make_signal()
    windows = make_windows(signal)
    name = "deep_conv_lstm:DeepConvLstm"
    options = FitOptions(network=name, epochs=6, batch_size=16, device="cpu", root=guides_file.parent)
    fitted = fit(windows, TRAIN, ("s04",), signal=signal, options=options)
    path = export(fitted, tmp_path / "model.onnx", describe_model(fitted))
    assert check_parity(fitted, path) < 1e-4
    unseen = windows.for_subjects(("s05",))
    for count in (1, 5, len(unseen)):
        expected, answers = fitted.predict(unseen.batch()[:count]), Classifier(path).predict(unseen.batch()[:count])
        np.testing.assert_allclose(answers.probabilities, expected[0], atol=1e-4)
    assert (answers.probabilities.argmax(1) == unseen.labels).mean() > 0.8
    assert [node.op_type for node in onnx.load(path).graph.node].count("LSTM") == 2


def test_a_file_in_the_package_is_a_network_and_nothing_else_registers_it(
    guides_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guides_file.write_text(guides_file.read_text(encoding="utf-8") + "\n\nNETWORK = DeepConvLstm\n", encoding="utf-8")
    monkeypatch.setattr(_networks, "_FOLDER", guides_file.parent)
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(guides_file.parent)])
    assert network_names() == ["deep-conv-lstm"]
    assert find_network("deep-conv-lstm").__name__ == "DeepConvLstm"


def test_the_networks_of_the_project_are_found_by_name() -> None:
    assert {"dscnn", "spectral"} <= set(network_names())
    for name in network_names():
        assert check_network(name) == name
        assert issubclass(find_network(name), Network)


def test_an_unknown_name_is_refused_with_the_closest_one() -> None:
    with pytest.raises(SettingsError, match=r"module:Class, or a Python file .*'spektral'\. Did you mean 'spectral'"):
        find_network("spektral")
    with pytest.raises(SettingsError, match=r"'transformer'\. See docs/how-to/own-network\.md"):
        find_network("transformer")
    with pytest.raises(SettingsError, match=r"'no/such\.py', which does not exist"):
        find_network("no/such.py")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1\n", "expected NETWORK = <a subclass of Network>, but got none"),
        ("NETWORK = 7\n", "but got 7"),
        (
            "from har.training.networks import Network\nclass Bare(Network): ...\nNETWORK = Bare\n",
            r"Bare\.optimisation = Optimisation\(\.\.\.\), but got none",
        ),
        ("x = 1\nNETWORK = (\n", r"bare\.py, line 2: expected Python in UTF-8"),
        ('x = "für"\n', r"bare\.py, line \d+: expected Python in UTF-8.*codec can't decode"),
    ],
    ids=["nothing", "number", "no-optimisation", "no-python", "not-utf-8"],
)
def test_a_file_without_a_usable_network_is_refused(tmp_path: Path, source: str, words: str) -> None:
    path = tmp_path / "bare.py"
    path.write_text(source, encoding="cp1252")
    with pytest.raises(SettingsError, match=words):
        find_network(str(path))


def test_names_are_listed_without_torch() -> None:
    code = "import sys; from har.settings import network_names; network_names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
