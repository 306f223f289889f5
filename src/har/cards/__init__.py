"""Model cards: what is known of a registered version, generated from the registry.

A training leaves its `Facts` as an artifact of the version; `render_card` makes the card of them, of the recipe and of
the metrics. What nobody recorded is marked as unknown.
"""

from har.cards._card import CARD, UNKNOWN, render_card
from har.cards._facts import FACTS, Facts

__all__ = ["CARD", "FACTS", "UNKNOWN", "Facts", "render_card"]
