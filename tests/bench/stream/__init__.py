"""`make bench-stream`: what `har stream run` reaches beside the broker alone, offline scoring and quixstreams."""
