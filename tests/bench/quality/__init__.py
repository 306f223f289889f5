"""The project's network beside its peers: the same recordings, windows, folds and machine, in one run."""
