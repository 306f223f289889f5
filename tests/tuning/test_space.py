"""What a search may change: bounds of har.toml before those of the network before the program's."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from har.errors import SettingsError
from har.settings import Settings
from har.training import FitOptions, fit
from har.training.networks import Choice, Network, Optimisation, Range, configured, find_network, own_values
from har.tuning import search_space


class Own(Network):
    optimisation = Optimisation(learning_rate=0.01, weight_decay=0.0, smoothing=0.1, average=0.9)
    space = {"width": Choice((8, 16)), "smoothing": Range(0.0, 0.05)}  # noqa: RUF012  as users write it

    def __init__(self, signal: Any, width: int = 32, flat: bool = False) -> None:
        super().__init__(signal)
        self.width, self.flat = width, flat

    def observe(self, windows: Tensor) -> None: ...
    def members(self, window: Tensor) -> Tensor: ...
    def logits(self, window: Tensor, features: Tensor) -> Tensor: ...


def with_bounds(settings: Settings, **bounds: Any) -> Settings:
    content = settings.model_dump()
    content["tuning"]["bounds"] = bounds
    return Settings(**content, root=settings.root)


def test_bounds_surround_what_the_project_has(settings: Settings) -> None:
    space = search_space(settings, "spectral", find_network("spectral"), ["training"])
    rate = space.bounds["learning_rate"]
    assert isinstance(rate, Range)
    own = find_network("spectral").optimisation.learning_rate
    assert rate.low < own < rate.high
    assert space.start["learning_rate"] == own
    assert space.start["epochs"] == settings.training.epochs
    assert {"length_s", "overlap"}.isdisjoint(space.bounds)
    windows = search_space(settings, "spectral", find_network("spectral"), ["windows"])
    assert set(windows.bounds) == {"length_s", "overlap"}
    assert windows.settings(settings, {"length_s": 2.0}).length == settings.length // 2
    assert windows.settings(settings, {"epochs": 2}) is settings


def test_a_networks_space_and_the_projects_bounds_win(settings: Settings) -> None:
    bounds = {"learning_rate": {"low": 0.1, "high": 0.2}, "flat": [True, False], "epochs": [3]}
    changed = with_bounds(settings, **bounds)
    space = search_space(changed, "own:Own", Own, ["training", "network"])
    assert space.bounds["smoothing"] == Range(0.0, 0.05)
    assert space.bounds["width"] == Choice((8, 16))
    assert space.bounds["learning_rate"] == Range(0.1, 0.2)
    assert space.bounds["flat"] == Choice((True, False))
    assert space.start["width"] == 16, "the nearest within the bounds"
    assert (space.start["learning_rate"], space.start["epochs"], space.start["flat"]) == (0.1, 3, False)
    options = space.options(changed, {"epochs": 3, "width": 8, "flat": True, "length_s": 2.0}, seed=4)
    assert (options.epochs, options.seed, dict(options.values)) == (3, 4, {"width": 8, "flat": True})
    assert space.sections(changed, {"epochs": 3, "width": 8, "overlap": 0.0}) == {
        "windows": {"overlap": 0.0},
        "training": {"network": "own:Own", "epochs": 3, "values": {"width": 8}},
    }


def test_names_that_there_are_not_are_refused(settings: Settings) -> None:
    with pytest.raises(SettingsError, match=r"tuning\.bounds: .*'learning_rat'\. Did you mean 'learning_rate'"):
        search_space(with_bounds(settings, learning_rat=[1.0]), "own:Own", Own, ["training"])
    with pytest.raises(SettingsError, match="something to change"):
        search_space(settings, "dscnn", type("Bare", (Own,), {"space": {}}), ["network"])
    with pytest.raises(ValueError, match="low below high"):
        with_bounds(settings, learning_rate={"low": 0.2, "high": 0.1})


def test_values_of_a_network_reach_its_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from paces_support import SIGNAL, paces

    options = FitOptions("spectral", epochs=1, device="cpu", values={"smoothing": 0.2})
    module = fit(paces(), ("s0", "s1"), (), signal=SIGNAL, options=options).module
    assert module.optimisation.smoothing == 0.2
    assert find_network("spectral").optimisation.smoothing != 0.2
    made = configured(find_network("dscnn"), {"width": 8, "average": 0.5})(SIGNAL)
    assert made.stem[0].out_channels == 8
    assert own_values(find_network("dscnn"))["width"] == 48


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"widht": 8}, "'widht'. Did you mean 'width'"),
        ({"width": "8"}, "expected a whole number, such as 48, but got '8'"),
        ({"width": 8.5}, "expected a whole number, such as 48, but got 8.5"),
        ({"smoothing": True}, "expected a number, such as 0.1, but got True"),
    ],
)
def test_values_that_a_network_lacks_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        configured(find_network("dscnn"), values)
