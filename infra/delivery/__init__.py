"""What the steps of the two delivery workflows call: each module is one step, run by a target of `targets.mk`.

`offline` and `online` have the steps of one pipeline each. Results lie in `build/delivery/`: figures as JSON, tables as
Markdown. `lint.sh` is the part of `make lint` that reads workflows, images, compose files and scripts.
"""
