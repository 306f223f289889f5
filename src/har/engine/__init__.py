"""How a job runs its independent parts: in threads, in processes, as Prefect tasks, or on a Dask cluster.

A job calls `each` (`Each`) with a function and parts. Both can be pickled: the function by its name, a part as a small
value (project, model version, partitions). Models and tables are opened, and cached, in the process that runs the part.
"""

from har.engine._each import Each, in_threads, in_turn, once

__all__ = ["Each", "in_threads", "in_turn", "once"]
