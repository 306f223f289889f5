"""The stored card of a version; one of an older release gets its card when it is first asked for."""

from __future__ import annotations

from pathlib import Path

from har.cards import CARD, render_card
from har.files import temporary_folder, write_atomically
from har.registry import Registry


def card_of(registry: Registry, number: int) -> Path:
    """The version's card, which is made and stored with it if it has none.

    Raises:
        UnknownVersionError: no such version.
        ModelError, RegistryError: a file of the version is missing or was changed.
        StoreError: object storage refuses.
    """
    if not registry.version(number).has(CARD):
        with temporary_folder("card") as folder:
            registry.attach(number, write_atomically(folder / CARD, render_card(registry, number)))
    return registry.artifact(number, CARD)
