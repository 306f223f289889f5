"""The batch scorer: reads samples from Parquet or a Delta table, writes predictions as Parquet.

`bentos.batch.service` is the HTTP service, `python -m bentos.batch` scores one input and ends. Both take samples with
the columns of the lake's table `samples` in SI units; values in other units are detected only if they exceed the
sensor's full scale. Memory does not grow with the input or the output.
"""

from bentos.batch._reading import delta_samples, parquet_samples
from bentos.batch._scorer import Scored, Scorer

__all__ = ["Scored", "Scorer", "delta_samples", "parquet_samples"]
