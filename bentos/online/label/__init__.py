"""The page `/label` of the online service: one window after another, and people's answers to them."""

from bentos.online.label._routes import FILES, PATHS, LabelPage

__all__ = ["FILES", "PATHS", "LabelPage"]
