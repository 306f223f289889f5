"""`make bench`: what the pipeline reaches on this machine, beside what one would write without it."""
