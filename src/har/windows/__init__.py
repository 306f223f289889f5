"""Segments of samples in, windows and subject-wise splits out; numpy only, and no copy before a batch is formed."""

from har.windows._segmentation import WindowSet, cut
from har.windows._splits import Split, group_folds, split_subjects

__all__ = ["Split", "WindowSet", "cut", "group_folds", "split_subjects"]
