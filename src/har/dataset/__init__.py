"""Labelled windows of the lake: samples joined with the labels of their files and with feedback."""

from har.dataset._feedback import Feedback, Timelines, has_a_persons_word, is_unreviewed
from har.dataset._matching import days_around, matched_windows
from har.dataset._wearers import device_reference
from har.dataset._windows import labels_from_feedback, load_windows, placements, recording_names, wearing, window_labels

__all__ = [
    "Feedback",
    "Timelines",
    "days_around",
    "device_reference",
    "has_a_persons_word",
    "is_unreviewed",
    "labels_from_feedback",
    "load_windows",
    "matched_windows",
    "placements",
    "recording_names",
    "wearing",
    "window_labels",
]
