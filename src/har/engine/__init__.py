"""How a job runs its independent parts: in threads, in processes, on a Dask cluster, or in turn.

A job calls `each` (`Each`) with a function and parts. Both can be pickled: the function by its name, a part as a small
value (project, model version, partitions). Models and tables are opened, and cached, in the process that runs the part.
`engine_of(settings)` is the `Each` that `[engine]` of har.toml asks for.
"""

from har.engine._each import Each, in_threads, in_turn, once
from har.engine._engine import Engine, engine_of, open_engine, workers_of
from har.engine._outcomes import Outcome, name_of, require_success
from har.engine._same import Place, answer, here

__all__ = [
    "Each",
    "Engine",
    "Outcome",
    "Place",
    "answer",
    "engine_of",
    "here",
    "in_threads",
    "in_turn",
    "name_of",
    "once",
    "open_engine",
    "require_success",
    "workers_of",
]
