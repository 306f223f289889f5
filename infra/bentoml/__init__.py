"""BentoML for this project: its store, what builds the bentos, and a bento that is served for a while."""
