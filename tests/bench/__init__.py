"""`make bench`: what the pipeline reaches on this machine, beside what one would write without it."""

PEER_MODEL = "BENCH_MODEL"
"""Variable that names the model file to the servers that ours is compared with."""
