"""From a device's samples to answers while they come in: envelope, sources, windows in progress, ledger, state.

Messages → durable store → windows → micro-batches → model → lake, hot state, history. Each part is a package
of its own and imports only what its box has: the online service uses `envelope`, `queue` and `state`.
"""
