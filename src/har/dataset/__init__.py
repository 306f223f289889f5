"""Labelled windows of the lake: samples joined with the labels of their files and with feedback."""

from har.dataset._feedback import Feedback
from har.dataset._windows import labels_from_feedback, load_windows, placements, recording_names, window_labels

__all__ = ["Feedback", "labels_from_feedback", "load_windows", "placements", "recording_names", "window_labels"]
