"""Finds a network by its name: a file of this package, or any Python file that holds a `NETWORK`."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from har.errors import SettingsError
from har.settings import check_network
from har.training.networks._network import Network, Optimisation


def find_network(name: str) -> type[Network]:
    """The network of that name, or the one in a Python file (`my_network.py`).

    Raises:
        SettingsError: there is no such network, or the file holds none.
    """
    check_network(name)
    if name.endswith(".py"):
        module = _load(Path(name))
    else:
        module = importlib.import_module(f"har.training.networks.{name.replace('-', '_')}")
    network = getattr(module, "NETWORK", None)
    if not (isinstance(network, type) and issubclass(network, Network)):
        raise _unusable(name, "NETWORK = <a subclass of Network>", "none" if network is None else repr(network))
    if not isinstance(getattr(network, "optimisation", None), Optimisation):
        raise _unusable(name, f"{network.__name__}.optimisation = Optimisation(...)", "none")
    return network


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise _unusable(str(path), "a Python file that can be imported", "another file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:  # also text in another encoding
        raise _unusable(f"{path}, line {error.lineno}", "Python in UTF-8", str(error.msg)) from error
    return module


def _unusable(where: str, expected: str, got: str) -> SettingsError:
    return SettingsError(
        where=f"network {where}", expected=expected, got=got, remedy="See docs/how-to/own-network.md for an example."
    )
