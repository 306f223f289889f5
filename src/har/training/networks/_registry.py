"""Finds a network by its name: a file of this package, a class in a module, or any Python file with a `NETWORK`."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from har.errors import SettingsError, did_you_mean
from har.settings import check_network
from har.training.networks._network import Network, Optimisation
from har.training.networks._source import is_drop_in, load_network


def find_network(name: str, root: Path | None = None) -> type[Network]:
    """The network of that name, the class `module:Class`, or the `NETWORK` of a Python file (`my_network.py`).

    Args:
        name: as in har.toml.
        root: the project's folder, which modules and files are found from; None: that of the nearest har.toml.

    Raises:
        SettingsError: there is no such network, its file cannot be imported, or holds no usable network.
    """
    check_network(name, root)
    module = load_network(name, root) if is_drop_in(name) else _own(name)
    attribute = name.partition(":")[2] or "NETWORK"
    network = getattr(module, attribute, None)
    if not (isinstance(network, type) and issubclass(network, Network)):
        expected = f"a class {attribute} that is a Network" if ":" in name else "NETWORK = <a subclass of Network>"
        raise _unusable(name, expected, "none" if network is None else repr(network), _similar(module, attribute))
    if not isinstance(getattr(network, "optimisation", None), Optimisation):
        raise _unusable(name, f"{network.__name__}.optimisation = Optimisation(...)", "none")
    _require_complete(name, network)
    return network


def _own(name: str) -> object:
    return importlib.import_module(f"har.training.networks.{name.replace('-', '_')}")


def _require_complete(name: str, network: type[Network]) -> None:
    missing = sorted(network.__abstractmethods__)
    if missing:
        raise _unusable(name, f"{network.__name__} to have {', '.join(missing)}", "a class without")
    try:
        inspect.signature(network).bind(None)
    except TypeError as error:
        expected = f"{network.__name__}(signal): further arguments need defaults"
        raise _unusable(name, expected, str(error)) from error


def _similar(module: object, attribute: str) -> str:
    kinds = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Network)]
    return did_you_mean(attribute, [kind.__name__ for kind in kinds if kind is not Network])


def _unusable(where: str, expected: str, got: str, remedy: str = "") -> SettingsError:
    return SettingsError(
        where=f"network {where}",
        expected=expected,
        got=got,
        remedy=remedy or "See docs/how-to/own-network.md for an example.",
    )
