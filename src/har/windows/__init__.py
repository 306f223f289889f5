"""Cut segments of samples into windows, and split subjects; numpy only, samples are copied only for batches."""

from har.windows._segmentation import WindowSet, cut
from har.windows._splits import Split, group_folds, split_subjects

__all__ = ["Split", "WindowSet", "cut", "group_folds", "split_subjects"]
