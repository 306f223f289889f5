"""Drift: a model's reference, the alarm level learned from it, and each day compared with it."""
