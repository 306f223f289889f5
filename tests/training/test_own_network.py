"""The network of the guide does as the guide says: trained, exported, the same in ONNX as in torch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from har.inference import Classifier
from har.training import _networks as networks
from har.training import check_parity, export, fit

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "own-network.md"


def test_the_guides_network_learns_and_is_served(
    make_signal, make_windows, describe_model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    block = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    scope: dict[str, object] = {"__name__": "guide"}
    exec(compile(block[1], str(GUIDE), "exec"), scope)  # noqa: S102  the guide's own code
    monkeypatch.setitem(networks.NETWORKS, "pooled", scope["Pooled"])  # type: ignore[arg-type]
    signal = make_signal()
    windows = make_windows(signal)
    train = ("s00", "s01", "s02", "s03")
    fitted = fit(windows, train, ("s04",), signal=signal, network="pooled", epochs=6, batch_size=16)
    path = export(fitted, tmp_path / "model.onnx", describe_model(fitted))
    assert check_parity(fitted, path) < 1e-4
    new = windows.of(("s05",))
    right = Classifier(path).predict(new.batch()).probabilities.argmax(1) == new.labels
    assert right.mean() > 0.8
