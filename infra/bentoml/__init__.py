"""BentoML in this project: the store, building bentos, and serving a bento during a block."""
