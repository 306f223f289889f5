"""Registered versions on MLflow: what was trained, from what, which one serves, and who decided it when.

`Registry` registers model files, moves the aliases `challenger` → `champion` → `previous` and keeps the promotion log;
`reproduce` retrains a version from its recorded commit and compares. MLflow is imported on the first real question.
"""

from har.registry._catalog import Version
from har.registry._git import GitState, git_state
from har.registry._promotions import Promotion, whoami
from har.registry._reproduce import Comparison, Reproduction, reproduce
from har.registry._store import Registry

__all__ = [
    "Comparison",
    "GitState",
    "Promotion",
    "Registry",
    "Reproduction",
    "Version",
    "git_state",
    "reproduce",
    "whoami",
]
