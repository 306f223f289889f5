"""Profiles: what the model saw in some windows, small enough to store, and the faults of the data that they show."""
