"""Decisions: what is done about a day, the facts it rests on, and the log of what came of it."""
