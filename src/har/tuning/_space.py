"""What a search may change: names with ranges or choices, and the values that the project has now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from har.errors import SettingsError, did_you_mean
from har.settings import Bounds, Settings, Value
from har.training import FitOptions
from har.training.networks import Choice, Network, Range, own_values

_TRAINING = ("epochs", "batch_size")
_WINDOWS = ("length_s", "overlap")
_RATES = ("learning_rate", "weight_decay", "smoothing", "average")
"""Values that every network has."""


@dataclass(frozen=True)
class Space:
    """Names that a search may change.

    Attributes:
        network: the network's name.
        bounds: the range or the choices of each name.
        start: the values that the project has now, or the nearest within the bounds.
    """

    network: str
    bounds: Mapping[str, Range | Choice]
    start: Mapping[str, Value]

    def options(self, settings: Settings, values: Mapping[str, Value], seed: int) -> FitOptions:
        """The training that these values stand for."""
        training = settings.training
        own = {name: value for name, value in values.items() if name not in (*_TRAINING, *_WINDOWS)}
        return FitOptions(
            network=self.network,
            seed=seed,
            epochs=int(values.get("epochs", training.epochs)),
            batch_size=int(values.get("batch_size", training.batch_size)),
            device=training.device,
            root=settings.root,
            values={**training.values_of(self.network), **own},
        )

    def settings(self, settings: Settings, values: Mapping[str, Value]) -> Settings:
        """The settings with windows cut as these values say."""
        cut = {name: float(values[name]) for name in _WINDOWS if name in values}
        if not cut:
            return settings
        return settings.model_copy(update={"windows": settings.windows.model_copy(update=cut)})

    def sections(self, settings: Settings, values: Mapping[str, Value]) -> dict[str, dict[str, Any]]:
        """What har.toml would say: keys and values by section."""
        training: dict[str, Any] = {name: values[name] for name in _TRAINING if name in values}
        own = {name: value for name, value in values.items() if name not in (*_TRAINING, *_WINDOWS)}
        if own:
            training["values"] = {**settings.training.values_of(self.network), **own}
        if self.network != settings.training.network:
            training = {"network": self.network, **training}
        windows = {name: values[name] for name in _WINDOWS if name in values}
        return {name: content for name, content in (("windows", windows), ("training", training)) if content}


def search_space(settings: Settings, name: str, network: type[Network], groups: Sequence[str]) -> Space:
    """What a search may change of a network, of its training and of how windows are cut.

    The bounds are those of har.toml (`tuning.bounds`), else those of the network (`space`), else the program's.

    Args:
        settings: the project's.
        name: the network's.
        network: its class.
        groups: training, network, windows.

    Raises:
        SettingsError: `tuning.bounds` or the network's `space` names something that there is not, or nothing is left
            to change.
    """
    own = own_values(network)
    present = {**own, **settings.training.values_of(name)}
    present |= {"epochs": settings.training.epochs, "batch_size": settings.training.batch_size}
    present |= {"length_s": settings.windows.length_s, "overlap": settings.windows.overlap}
    _require_known(list(network.space), list(own), f"{network.__name__}.space")
    _require_known(list(settings.tuning.bounds), list(present), "tuning.bounds")
    bounds: dict[str, Range | Choice] = {}
    if "training" in groups:
        bounds |= {rate: _around(rate, float(own[rate])) for rate in _RATES}
        epochs = settings.training.epochs
        bounds["epochs"] = Range(max(1, epochs // 2), 4 * epochs, log=True, whole=True)
        bounds["batch_size"] = Choice(tuple(sorted({32, 64, 128, 256, settings.training.batch_size})))
    if "network" in groups:
        bounds |= network.space
    if "windows" in groups:
        length = settings.windows.length_s
        bounds["length_s"] = Choice(tuple(sorted({length / 2, length, 1.5 * length})))
        bounds["overlap"] = Choice(tuple(sorted({0.0, 0.5, 0.75, settings.windows.overlap})))
    for key, given in settings.tuning.bounds.items():
        if key in bounds or key not in (*_TRAINING, *_WINDOWS, *_RATES):
            bounds[key] = _bounds(given, present[key])
    if not bounds:
        raise SettingsError(
            where="tuning.space",
            expected="something to change",
            got=f"a network without a space, and {', '.join(groups)} alone",
            remedy=f"Set {network.__name__}.space, tuning.bounds in har.toml, or search training, too.",
        )
    return Space(name, bounds, {key: one.nearest(present[key]) for key, one in bounds.items()})  # type: ignore[arg-type]


def _around(rate: str, own: float) -> Range:
    """The program's bounds of a value of the optimisation."""
    if rate == "learning_rate":
        return Range(own / 4, own * 4, log=True)
    if rate == "weight_decay":
        return Range(min(1e-3, own), max(0.3, own), log=own > 0)
    if rate == "smoothing":
        return Range(0.0, max(0.25, own))
    return Range(min(0.9, own), max(0.995, own))


def _bounds(given: Bounds | tuple[Value, ...], present: Value) -> Range | Choice:
    if isinstance(given, Bounds):
        whole = isinstance(given.low, int) and isinstance(given.high, int) and isinstance(present, int)
        return Range(given.low, given.high, given.log, whole)
    return Choice(given)


def _require_known(names: Sequence[str], known: Sequence[str], where: str) -> None:
    for name in names:
        if name not in known:
            raise SettingsError(
                where=where,
                expected=f"names among {', '.join(known)}",
                got=repr(name),
                remedy=did_you_mean(name, known) or "Remove it, or give the class this argument with a default.",
            )
