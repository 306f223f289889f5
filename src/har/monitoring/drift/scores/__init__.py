"""Drift scores: how far a day's distribution of one quantity lies from the reference's.

Each file here that does not begin with an underscore is one score: it holds a `SCORE`, named like the file. A new file
is measured every day, listed in the reports and on their pages, and if it alarms, its level is learned at the next
training.
"""

from har.monitoring.drift.scores._registry import alarming, own_scores, scores
from har.monitoring.drift.scores._score import Score

__all__ = ["Score", "alarming", "own_scores", "scores"]
