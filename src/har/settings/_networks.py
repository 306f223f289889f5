"""The names that `training.network` may have: one per file of har/training/networks; listed without importing torch."""

from __future__ import annotations

import pkgutil
from pathlib import Path

from har.errors import SettingsError, did_you_mean

_FOLDER = Path(__file__).resolve().parents[1] / "training" / "networks"


def network_names() -> list[str]:
    """The networks of this project, sorted: a file `deep_conv_lstm.py` is the network `deep-conv-lstm`."""
    names = [module.name for module in pkgutil.iter_modules([str(_FOLDER)]) if not module.name.startswith("_")]
    return sorted(name.replace("_", "-") for name in names)


def check_network(name: str) -> str:
    """The name, if such a network exists: one of `network_names`, or the path of a Python file.

    Raises:
        SettingsError: there is no such network or file.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise SettingsError(
                where="training.network",
                expected="a Python file with a network",
                got=f"{name!r}, which does not exist",
                remedy="Check the path; it is relative to the folder that the command runs in, usually the project's.",
            )
        return name
    names = network_names()
    if name not in names:
        raise SettingsError(
            where="training.network",
            expected=f"{', '.join(names)}, or a Python file that holds a network",
            got=repr(name),
            remedy=did_you_mean(name, names) or "See docs/how-to/own-network.md to add one.",
        )
    return name
