"""What the steps of the two delivery workflows call: each module is one step, run by a target of `targets.mk`.

Results lie in `build/delivery/`: figures as JSON, tables as Markdown.
"""
