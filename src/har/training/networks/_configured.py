"""A network with other values than its own: of its optimisation, and arguments of its class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace

from har.errors import SettingsError, did_you_mean
from har.settings import Value
from har.training._signal import Signal
from har.training.networks._network import Network, Optimisation

_OPTIMISATION = tuple(field.name for field in fields(Optimisation))


def own_values(network: type[Network]) -> dict[str, Value]:
    """The values by name that a network has of its own: of its optimisation, and defaults of its class's arguments."""
    arguments = list(inspect.signature(network).parameters.values())[1:]
    defaults = {one.name: one.default for one in arguments if isinstance(one.default, bool | int | float | str)}
    optimisation = asdict(network.optimisation).items()
    return {**{name: value for name, value in optimisation if isinstance(value, bool | int | float | str)}, **defaults}


def configured(network: type[Network], values: Mapping[str, Value]) -> Callable[[Signal], Network]:
    """What makes a network with these values.

    Args:
        network: the class.
        values: by name; the network has the others of its own.

    Raises:
        SettingsError: the network has no such value, or the value is of another kind.
    """
    own = own_values(network)
    for name, value in values.items():
        if name not in own:
            raise SettingsError(
                where=f"training.values of {network.__name__}",
                expected=f"values that it has ({', '.join(own)})",
                got=repr(name),
                remedy=did_you_mean(name, list(own)) or "Remove it, or give the class this argument with a default.",
            )
        if _kind(value) != _kind(own[name]) and not (_kind(value) == "whole number" and _kind(own[name]) == "number"):
            raise SettingsError(
                where=f"training.values of {network.__name__}, {name}",
                expected=f"a {_kind(own[name])}, such as {own[name]!r}",
                got=repr(value),
                remedy="Correct it in har.toml.",
            )
    if not values:
        return network
    optimisation = {name: value for name, value in values.items() if name in _OPTIMISATION}
    arguments = {name: value for name, value in values.items() if name not in _OPTIMISATION}

    def make(signal: Signal) -> Network:
        module = network(signal, **arguments)
        module.optimisation = replace(module.optimisation, **optimisation)  # type: ignore[arg-type]
        return module

    return make


def _kind(value: Value) -> str:
    if isinstance(value, bool | str):
        return type(value).__name__
    return "whole number" if isinstance(value, int) else "number"
