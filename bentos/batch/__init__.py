"""The batch scorer: a Parquet of samples in, a Parquet of predictions out.

`bentos.batch.service` answers over HTTP, `python -m bentos.batch` scores one input and ends. Both take samples with the
columns of the lake's table `samples` in SI units: values in other units cannot be told from movement, unless they
exceed the sensor's full scale. Memory depends neither on the input's size nor on the output's.
"""

from bentos.batch._reading import delta_samples, parquet_samples
from bentos.batch._scorer import Scored, Scorer

__all__ = ["Scored", "Scorer", "delta_samples", "parquet_samples"]
