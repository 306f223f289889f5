"""Search the training settings by subject; held-out subjects are never looked at."""
