"""The batch scorer: reads samples from Parquet or a Delta table, writes predictions as Parquet.

`bentos.batch.service` is the HTTP service, `python -m bentos.batch` scores one input and ends. Both take samples with
the columns of the lake's table `samples` in SI units; values beyond the sensor's full scale are refused, and
sessions that are implausible in their unit are warned of. Memory does not grow with the input or the output.
"""

from bentos.batch._reading import delta_samples, parquet_samples
from bentos.batch._scorer import Scored, Scorer

__all__ = ["Scored", "Scorer", "delta_samples", "parquet_samples"]
