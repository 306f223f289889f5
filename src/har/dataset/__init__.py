"""Labelled windows of the lake: samples, the files' labels and feedback, joined."""

from har.dataset._feedback import Feedback
from har.dataset._windows import load_windows, placements, told_labels, window_labels

__all__ = ["Feedback", "load_windows", "placements", "told_labels", "window_labels"]
